"""``dmh-edge run --robot mujoco:dark-reacher`` with a policy that was exported for the task."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from dmh_edge import tasks
from dmh_edge.checkpoint import CHECKPOINT_NAME
from dmh_edge.export.pipeline import export_policy
from dmh_edge.runtime.records.record import Record
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.schema import parse
from waiting import PATIENCE_S

MAKE = Path(__file__).parents[1] / "policies" / "make.py"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, but exported like any other."""
    spec = importlib.util.spec_from_file_location("make_policies", MAKE)
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    folder = tmp_path_factory.mktemp("policy")
    make.tiny_checkpoint(tasks.find("dark-reacher").spec).save(folder / "run" / CHECKPOINT_NAME)
    export_policy(folder / "run", folder / "policy")
    return folder / "policy"


def run(policy: Path, out: Path) -> subprocess.CompletedProcess[str]:
    options = ("hidden=3", "latency_s=0.01", "noise=0.001", "command_timeout_s=5")
    command = ["run", "--engine", policy, "--robot", "mujoco:dark-reacher", "--episodes", 2, "--out", out]
    command += [part for option in options for part in ("--robot-option", option)]
    return subprocess.run(
        [sys.executable, "-c", "from dmh_edge.cli import main; main()", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_policy_drives_the_arm_in_real_time(policy, tmp_path):
    for attempt in range(5):  # a machine that holds up the loop for 90 ms has its robot stopped, as it should
        out = tmp_path / f"out{attempt}"
        done = run(policy, out)
        assert done.returncode in (0, 3), done.stderr
        summary = parse(Summary, (out / "summary.json").read_text(), "summary")
        if done.returncode == 0:
            break
        assert summary.stopped_by in ("watchdog", "guard")
    assert (summary.stopped_by, len(summary.returns)) == ("episodes", 2)
    assert summary.ticks + summary.held_slots == 100
    assert all(-25 < value < -0.1 for value in summary.returns)
    ((_, trace),) = Record.load(out / "run.mcap").stretches
    assert trace.ticks == summary.ticks
