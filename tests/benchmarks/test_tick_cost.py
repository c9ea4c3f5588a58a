"""What a tick costs, measured in seconds: every way in turns, the guard from outside, and runs that come to nothing."""

from __future__ import annotations

import re

SHORT = ("--ticks", 30, "--rounds", 2, "--realtime", "off")
FASTER = "tick_cost._WARM_UP = 10"


def figures(text: str, row: str) -> list[float]:
    """All numbers in a row of a table."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {row} ")]
    return [float(number) for number in re.findall(r"[+-]?\d+\.\d+", line)]


def test_every_way_stands_beside_the_loop_that_nobody_listens_to(bench):
    done = bench("tick_cost", *SHORT, before=FASTER)
    assert done.returncode == 0, done.stdout + done.stderr
    p50, p99 = figures(done.stdout, "neither records nor view")
    assert 0 < p50 <= p99
    for way in ("trace.npz", "run.mcap", "live view"):
        p50, p99, *differences = figures(done.stdout, way)
        assert 0 < p50 <= p99
        for mean, low, high in (differences[:3], differences[3:]):
            assert low <= mean <= high
    assert "Hz" not in done.stderr  # what the live view draws goes nowhere


def test_what_the_guard_does_is_timed_and_nothing_else(bench):
    """A guard that takes eight milliseconds longer shows them, and no other row does."""
    slower = """
import time
class Slow(tick_cost.Guard):
    def check_observation(self, *given):
        time.sleep(0.008)
        return super().check_observation(*given)
tick_cost.Guard = Slow
"""
    done = bench("tick_cost", "--ticks", 30, "--rounds", 1, "--realtime", "off", before=FASTER + slower)
    assert figures(done.stdout, "the guard")[0] > 8000
    assert figures(done.stdout, "neither records nor view")[0] < 8000
    assert figures(done.stdout, "whether a proposal is finite")[0] < 8000


def test_a_run_that_the_guard_ends_measures_nothing(bench):
    impatient = "tick_cost._PATIENT = tick_cost.GuardSettings(budget_s=1e-6, late_slots=5)"
    done = bench("tick_cost", *SHORT, before=f"{FASTER}\n{impatient}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a run was stopped by the guard: late too often" in done.stdout


def test_too_few_ticks_are_refused(bench):
    done = bench("tick_cost", "--ticks", 50)
    assert done.returncode == 2
    assert "expected more than the 50 that warm up" in done.stderr
