"""Small policies of studies, and every study at its smallest budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from dmh_edge.studies import conduct as studies
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import SMOKE, Study, settings
from dmh_edge.studies.study_page import Page


@dataclass(frozen=True)
class Conducted:
    """A study that was run, and its files."""

    study: Study
    page: Page
    out: Path
    work: Path
    said: list[str]

    def text(self, name: str) -> str:
        return (self.out / name).read_text()

    def page_comes_from_its_csv_file(self) -> bool:
        """Whether the same page is made from that file alone."""
        again = self.study.page("smoke", Results.parse(self.text(f"{self.study.name}.csv")))
        written = self.text(f"{self.study.name}.md")
        return (again.verdicts, again.body, again.pictures) == (
            self.page.verdicts,
            self.page.body,
            self.page.pictures,
        ) and all(part in written for part in (*again.verdicts, *again.body))


@pytest.fixture(scope="module")
def conduct(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Conducted]:
    """Run a study by its name at the budget `smoke`, in this process, again and again in the same folders."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("out")

    def run(name: str) -> Conducted:
        said: list[str] = []
        study = studies.find(name)
        page, _ = studies.conduct(study, "smoke", work, out, 1, said.append)
        return Conducted(study, page, out, work, said)

    return run


@pytest.fixture
def cell() -> Callable[..., Cell]:
    """A tiny policy of a short T-maze, tried on tasks of one's choice."""

    def make(
        model: str = "dm", seed: int = 0, task: str = "tmaze-4", tried_on: tuple[str, ...] = ("tmaze-4",), **trial: bool
    ) -> Cell:
        trials = tuple(Trial(task=one, tasks=2, episodes=1, seeds=1, deterministic=True, **trial) for one in tried_on)
        wanted = settings(task, model, SMOKE | {"data.episodes_per_context": 1})
        return Cell(name=model, task=task, model=model, settings=wanted, seed=seed, trials=trials)

    return make


@pytest.fixture(autouse=True, scope="module")
def _one_thread():  # type: ignore[no-untyped-def]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
