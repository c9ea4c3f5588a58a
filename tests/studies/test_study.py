from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmh_edge.errors import ConfigError, ContractError
from dmh_edge.names import MODELS
from dmh_edge.schema import Spec
from dmh_edge.studies.conduct import find
from dmh_edge.studies.study import FULL, SMOKE, Workshop, by_name, settings
from waiting import PATIENCE_S, wait_for


class Found(Spec):
    """A measurement."""

    value: int
    """Its result."""


def test_cells_in_processes_of_their_own_come_to_the_same(cell, tmp_path):
    wanted = [cell(seed=seed) for seed in (0, 1)]
    alone, together = (Workshop(tmp_path / str(jobs), jobs, lambda _: None) for jobs in (1, 2))
    here, there = alone.finish(wanted), together.finish(wanted)
    assert [one.evaluations for one in here] == [one.evaluations for one in there]
    assert [one.cell.seed for one in there] == [0, 1]
    assert len(together.spent) == 2


def test_a_cell_that_fails_in_its_process_says_why(cell, tmp_path):
    with pytest.raises(ConfigError, match="another model on tmaze-9"):
        Workshop(tmp_path, 2, lambda _: None).finish([cell("dt", tried_on=("tmaze-9",))])


def test_each_cell_is_told_of_when_it_is_done(cell, tmp_path):
    said: list[str] = []
    Workshop(tmp_path, 1, said.append).finish([cell(seed=0)])
    Workshop(tmp_path, 1, said.append).finish([cell(seed=0), cell(seed=1)])
    assert [line.split(" took ")[0] for line in said] == [
        "1 of 1: tmaze-4, dm, seed 0",
        "1 of 2 policies are already finished",
        "2 of 2: tmaze-4, dm, seed 1",
    ]


def test_what_was_measured_is_kept(tmp_path):
    values = iter((1, 2))

    def measure() -> Found:
        return Found(value=next(values))

    workshop = Workshop(tmp_path, 1, lambda _: None)
    assert [workshop.kept("it", Found, measure).value for _ in range(2)] == [1, 1]
    (tmp_path / "it.json").unlink()
    assert workshop.kept("it", Found, measure).value == 2
    (tmp_path / "it.json").write_text('{"val')
    with pytest.raises(ContractError, match=r"it\.json is not JSON"):
        workshop.kept("it", Found, measure)


def test_outcomes_of_all_seeds_come_together(cell, tmp_path):
    outcomes = Workshop(tmp_path, 1, lambda _: None).finish([cell(seed=0), cell("dt"), cell(seed=1)])
    assert {key: [one.cell.seed for one in group] for key, group in by_name(outcomes).items()} == {
        ("tmaze-4", "dm"): [0, 1],
        ("tmaze-4", "dt"): [0],
    }


@pytest.mark.parametrize("wanted", [SMOKE, FULL])
@pytest.mark.parametrize("kind", MODELS)
def test_every_wanted_setting_is_one_of_some_model(kind, wanted):
    found = settings("darkroom", kind, wanted)
    assert f"model.width={wanted['model.width']}" in found
    assert ("model.chunk=5" in settings("darkroom", kind, {"model.chunk": 5})) == (kind == "dm-h")
    every = {setting.partition("=")[0] for one in MODELS for setting in settings("darkroom", one, wanted)}
    assert every == set(wanted)


def test_an_unknown_study_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown study 'gridword' \(did you mean 'gridworld'\?\)"):
        find("gridword")


def running(child: str) -> bool:
    """Whether there is such a process, dead ones that nobody has buried aside."""
    try:
        return Path("/proc", child, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_however_a_study_ends_its_processes_end_too_and_it_can_go_on(tmp_path, end):
    # A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from dmh_edge.cli import main; main()", "study", "ablation-subgoal"]
    folders = ["--work", str(tmp_path), "--out", str(tmp_path / "out")]
    with subprocess.Popen([*command, *folders], stderr=subprocess.PIPE) as parent:
        while len(list(tmp_path.glob("*/*/config.json"))) < 2:  # both processes are training
            time.sleep(0.1)
            assert parent.poll() is None
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.send_signal(end)
        assert parent.communicate(timeout=PATIENCE_S)  # no process holds the other end of the pipe any more
    # The list of children may lack some: the kernel promises it whole only while none of them ends.
    wait_for(lambda: not any(running(child) for child in children) and list(tmp_path.glob("*/*/spent.json")))
