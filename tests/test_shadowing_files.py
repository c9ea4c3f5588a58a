"""A user stands in a folder whose files are called like modules of ours: every process that we start is still ours."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmh_edge.clock import MonotonicClock
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.mujoco import MujocoRobot
from dmh_edge.runtime.records.run_records import Keeping, RunRecords
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.fake_session import FakeSession, fake_contract
from dmh_edge.runtime.watchdog.supervision import Supervision
from dmh_edge.schema import parse

PATIENCE_S = 120
POLICY = Path(__file__).parent / "policies" / "tiny-discrete"
#: The command as its console script starts it: the current folder is not on the path.
COMMAND = "from dmh_edge.cli import main\nmain()\n"
#: A robot of the user's own, which lies where the user stands. Its stop path is called by another process.
ROBOT = f"""
from pathlib import Path

from dmh_edge.contract import PolicyContract
from dmh_edge.robots.fake_robot import FakeRobot

def stop():
    pass

class Arm(FakeRobot):
    def __init__(self):
        text = Path({str(POLICY / "model.json")!r}).read_text()
        super().__init__(PolicyContract.model_validate_json(text).task, command_timeout_s=60)
        self.stop_path = stop
"""
#: A program like a study.
STUDY = """
import os
from concurrent.futures import ProcessPoolExecutor
from dmh_edge.studies.workers import live_and_die_with_the_parent, spawning

if __name__ == "__main__":
    with ProcessPoolExecutor(2, spawning(), live_and_die_with_the_parent) as pool:
        assert pool.submit(os.getcwd).result() == os.getcwd()
        assert pool.submit(os.getpid).result() != os.getpid()
    assert "PYTHONSAFEPATH" not in os.environ
"""


def names() -> set[str]:
    """First names of all modules that come with Python or are installed."""
    installed = set(importlib.metadata.packages_distributions())
    assert {"dmh_edge", "mcap", "rich", "numpy", "google", "pydantic", "mujoco", "gymnasium", "torch"} <= installed
    return {name for name in sys.stdlib_module_names | installed | {"sitecustomize"} if name.isidentifier()}


@pytest.fixture
def stands_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file for each of them; this process does not look there."""
    folder = tmp_path / "shadows"
    folder.mkdir()
    for name in names():
        (folder / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')\n")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(folder)
    return folder


def run_script(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that lies elsewhere; that place, and not the current folder, is on its path."""
    program = folder / "elsewhere" / "program"
    program.parent.mkdir()
    program.write_text(text)
    return subprocess.run(
        [sys.executable, str(program), *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_each_file_would_be_found_where_python_looks_into_the_current_folder(stands_here: Path) -> None:
    for name in ("mcap", "select"):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        assert f"{name}.py was imported" in done.stderr


def test_a_run_is_recorded_and_watched_and_finds_the_robot_that_lies_there(stands_here: Path, tmp_path: Path) -> None:
    (stands_here / "my_arm.py").write_text(ROBOT)
    patient = ("--set", "late_slots=1000", "--set", "late_window=1000")
    command = ("run", "--engine", str(POLICY), "--robot", "my_arm:Arm", "--ticks", "20", *patient)
    done = run_script(COMMAND, tmp_path, *command, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "was imported" not in done.stderr
    summary = parse(Summary, (tmp_path / "run" / "summary.json").read_text(), "summary")
    assert (summary.stopped_by, summary.ticks, summary.unrecorded_ticks) == ("ticks", 20, 0)
    assert (tmp_path / "run" / "run.mcap").exists()


def test_the_recorder_and_the_live_view_read(
    stands_here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = FakeSession(fake_contract(TWO_JOINTS))
    keeping = Keeping(tmp_path, mcap=True, live=True)
    records = RunRecords(session.contract, "0" * 64, session.backend, 50.0, 1, MonotonicClock(), keeping)
    try:
        recorder = records.start()
        assert recorder is not None
        recorder.begin(session)
    finally:
        assert records.close() == []
    assert f"{session.contract.name} on {session.backend} at 50 Hz" in capfd.readouterr().err
    assert (tmp_path / "run.mcap").exists()


def test_the_watchdog_starts(stands_here: Path) -> None:
    robot = FakeRobot()
    robot.stop_path = os.getpid
    robot.command_timeout_s = None
    supervision = Supervision(20_000_000, MonotonicClock(), reset_timeout_s=30)
    supervision.begin(robot)
    supervision.end()


def test_the_physics_of_an_arm_and_the_second_process_of_the_contract_test_start(stands_here: Path) -> None:
    check_robot(lambda: MujocoRobot("dark-reacher", command_timeout_s=60))


def test_the_processes_of_a_study_start_where_the_user_stands(stands_here: Path, tmp_path: Path) -> None:
    done = run_script(STUDY, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
