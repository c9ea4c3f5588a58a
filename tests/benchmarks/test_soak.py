"""The soak, seconds long: a run that takes no more, one that does, one that does not last, one that is cut short."""

from __future__ import annotations

import signal
from pathlib import Path

from waiting import PATIENCE_S

SHORT = ("--seconds", 5, "--warm-up", 2, "--every", 0.5)
#: In its first seconds a process still grows a little.
LENIENT = "soak.GROWTH = soak.RECORDER_GROWTH = 0.3"
#: Every look at the processes is told at once.
TELL = """
look = soak.Look
def told(*seen):
    print("looked", flush=True)
    return look(*seen)
soak.Look = told
"""


def rows(text: str, process: str) -> list[list[str]]:
    """The cells of the table's rows of one process."""
    lines = [line.split("│") for line in text.splitlines() if line.startswith(f"│ {process} ")]
    return [[cell.strip() for cell in cells[1:-1]] for cells in lines]


def test_the_loop_its_recorder_and_its_watchdog_are_looked_at_from_the_warm_up_on(bench):
    for _ in range(5):  # a machine that holds up the loop for 90 ms has its robot stopped, as it should
        done = bench("soak", *SHORT, "--watchdog", before=LENIENT)
        if "watchdog: the loop was silent" not in done.stdout:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing has grown" in done.stdout
    for process in ("loop", "mcap_process", "watchdog"):
        first, last = rows(done.stdout, process)
        assert 2 <= float(first[1]) < float(last[1]) <= 5
        assert float(first[2]) > 5
        assert first[4:6] == last[4:6]
    assert int(rows(done.stdout, "loop")[0][4]) <= 2  # its own, and one of the engine's that sleeps; none of numpy's
    assert int(done.stdout.partition(" episodes")[0].rpartition(" ")[2]) > 5


def test_a_robot_that_takes_more_and_more_is_told_by_what_it_takes(bench):
    done = bench("soak", *SHORT, before=f"{LENIENT}\nimport live_run\nlive_run.ROBOT = 'greedy_robot:GreedyRobot'")
    assert done.returncode == 1, done.stdout + done.stderr
    for what in ("loop: resident memory grew by", "threads, expected the", "descriptors, expected the"):
        assert what in done.stdout
    assert "mcap_process: " not in done.stdout


def test_a_run_that_ends_too_soon_is_no_proof(bench):
    done = bench("soak", *SHORT, before=f"{LENIENT}\nsoak.PATIENT = ('--ticks', '100')")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the run ended early with exit code 0" in done.stdout


def test_ctrl_c_prints_what_was_seen_so_far_and_leaves_no_process(start):
    with start("soak", "--seconds", 600, "--warm-up", 0.2, "--every", 0.2, before=LENIENT + TELL) as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["looked\n"] * 2
            (loop,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    assert rows(out, "loop")
    assert not Path("/proc", loop).exists()
