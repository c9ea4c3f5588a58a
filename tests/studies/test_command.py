"""`dmh-edge study`, as a user calls it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmh_edge import cli
from dmh_edge.errors import ConfigError


def study(*arguments: object) -> None:
    cli.app(["study", *map(str, arguments)], standalone_mode=False)


@dataclass(frozen=True)
class Finished:
    """A study that was run to its end.

    Attributes:
        work: its work folder; called with it again, the study trains nothing.
        out: folder of its page.
        printed: what it printed.
        told: its messages.
    """

    work: Path
    out: Path
    printed: str
    told: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("out")
    printed, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        study("ablation-subgoal", "--budget", "smoke", "--work", work, "--out", out, "--jobs", 1)
    return Finished(work, out, printed.getvalue(), told.getvalue())


def test_it_prints_the_verdicts_and_writes_a_page_that_names_no_folder(finished):
    assert finished.printed.startswith("darkroom: with sub-goal ")
    assert "8 of 8: darkroom, without sub-goal, not drawn, seed 1 took " in finished.told
    assert "training" not in finished.told  # that is in the cells' own messages
    assert sorted(path.suffix for path in finished.out.iterdir()) == [".csv", ".md", ".png"]
    text = (finished.out / "ablation-subgoal.md").read_text()
    assert "    dmh-edge study ablation-subgoal --budget smoke --jobs 1\n" in text
    assert str(finished.work.parent) not in text


def test_a_page_that_proves_nothing_takes_no_other_s_place(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study("ablation-subgoal", "--budget", "smoke", "--work", finished.work, "--jobs", 1)
    assert (finished.work / "smoke" / "ablation-subgoal.md").exists()
    assert not (tmp_path / "docs").exists()


def test_an_unknown_study_is_refused():
    with pytest.raises(ConfigError, match="unknown study 'costs'"):
        study("costs")
