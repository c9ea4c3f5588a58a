"""What float32 does to a policy, by the command that measures it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.tasks import find
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "rounding.py"
TINY = DMHConfig(width=8, memory_layers=1, actor_layers=1, heads=2, state_size=2, subgoal_size=4, chunk=3)


def test_runs_are_measured_and_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    Checkpoint.untrained(TINY, find("darkroom").spec).save(run / CHECKPOINT_NAME)
    command = [sys.executable, str(PROGRAM), str(run), str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    row = next(line for line in done.stdout.splitlines() if "dm-h" in line)
    cells = [part.strip() for part in row.strip("│ ").split("│")]
    rounding, apart, times = (float(cells[column]) for column in (3, 4, 6))
    assert (*cells[:3], cells[5], cells[7]) == ("darkroom", "dm-h", "1", "0", "0")
    assert 0 < rounding < 1e-5
    assert 0 < apart < 1e-5
    assert 0.1 < times < 10
    assert f"passed over: there is no checkpoint at {tmp_path / 'nothing'}" in done.stderr
