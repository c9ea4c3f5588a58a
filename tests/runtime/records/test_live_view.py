from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.runtime.records.layout import COUNTS, EVENT, SLOT, TICK, slot_dtype
from dmh_edge.runtime.records.live_view import View
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import FIGURES
from dmh_edge.runtime.sessions.fake_session import fake_contract
from dmh_edge.schema import parse
from waiting import PATIENCE_S

MS = 1_000_000
RECORD = slot_dtype(fake_contract(TWO_JOINTS))
#: What is looked at here is not the guard, and a busy machine is late.
PATIENT = ("--set", "late_slots=1000", "--set", "late_window=1000")
POLICY = Path(__file__).parents[2] / "policies" / "tiny-discrete"


def records(count: int, *, total_ms: float = 2, start_ms: int = 0, **counts: int) -> np.ndarray:
    """Ticks of a loop at 50 Hz."""
    found = np.zeros(count, RECORD)
    found["kind"] = TICK
    found["time_ns"] = (start_ms + np.arange(count) * 20) * MS
    found["figures"][:, FIGURES.index("lateness_ns")] = 0.1 * MS
    found["figures"][:, FIGURES.index("total_ns")] = total_ms * MS
    for name, value in counts.items():
        found["counts"][:, COUNTS.index(name)] = value
    found["episode_return"] = 3.25
    return found


def event(kind: str, detail: str, at_ms: int) -> np.ndarray:
    found = np.zeros(1, RECORD)
    found["kind"], found["time_ns"] = EVENT, at_ms * MS
    found["name"], found["detail"] = kind.encode(), detail.encode()
    return found


def shown(view: View) -> str:
    console = Console(width=100, color_system="truecolor", force_terminal=True)
    with console.capture() as captured:
        console.print(view.frame())
    return captured.get()


def plain(view: View) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown(view))


def test_before_anything_happened_it_says_so():
    text = plain(View("a policy", 50))
    assert "0.0 of 50 Hz" in text
    assert "none yet" in text


def test_it_shows_rate_lateness_budget_returns_and_guard():
    view = View("a policy", 50)
    view.add(records(100, slots=120, overruns=2, skipped_slots=3, held_slots=4, episodes=5))
    view.add(event("episode", "episode 5 ended, return 12.5", 2000))
    text = plain(view)
    assert "50.0 of 50 Hz" in text
    assert "p50 100, p99 100, max 100 us" in text
    assert "max 2000 us, budget 20000 us" in text
    assert "return so far 0" in text  # an event has no more to tell than its own
    assert "returns  12.5" in re.sub(" +", "  ", text)
    assert "no fault" in text
    view.add(records(1, start_ms=2020, slots=121, overruns=2, skipped_slots=3, held_slots=4, episodes=5))
    assert "121, 2 overruns, 3 skipped, 4 held" in plain(view)
    assert "return so far 3.25" in plain(view)


def test_the_bar_turns_red_when_the_budget_is_used_up():
    well, badly = View("", 50), View("", 50)
    well.add(records(10, total_ms=2))
    badly.add(records(10, total_ms=21))
    green, red = "\x1b[32m", "\x1b[31m"
    bars = [
        next(line for line in shown(view).splitlines() if "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in line)
        for view in (well, badly)
    ]
    assert [(green in bar, red in bar) for bar in bars] == [(True, False), (False, True)]


def test_a_fault_is_shown_for_two_seconds_and_stays_in_the_list_and_a_stop_for_ever():
    view = View("", 50)
    view.add(event("fault", "reward missing", 100))
    view.add(records(10, start_ms=120))
    assert re.search(r"guard +reward missing", plain(view))
    view.add(records(10, start_ms=3000))
    assert re.search(r"guard +no fault", plain(view))
    assert re.search(r"last faults +reward missing", plain(view))
    view.add(event("stop", "guard: reward missing", 4000))
    late = records(1, start_ms=9000)
    late["kind"] = SLOT
    view.add(late)
    assert "stopped by guard: reward missing" in plain(view)


def test_old_ticks_do_not_count_and_memory_does_not_grow():
    view = View("", 50)
    view.add(records(5, total_ms=500))
    view.add(records(5000, start_ms=3000))
    assert "max 2000 us" in plain(view)
    assert len(view._ticks) <= 102


def children(parent: int) -> list[int]:
    """Process ids of its children."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(number) for path in tasks for number in path.read_text().split()]


class OnTerminal:
    """`dmh-edge run --live` with a terminal of its own for standard error."""

    def __init__(self, out: Path, *more: str) -> None:
        self._terminal, terminal = pty.openpty()
        code = "from dmh_edge.cli import main; main()"
        arguments = ["run", "--engine", str(POLICY), "--robot", "fake", "--out", str(out), "--live", *PATIENT, *more]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=terminal, env=os.environ
        )
        os.close(terminal)
        self.text = ""

    def read(self, until: str = "") -> str:
        """What stands on the terminal by the time that ``until`` does, or that everybody has left."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (until and until in self.text):
            assert time.monotonic() < deadline_s, self.text
            try:
                self.text += os.read(self._terminal, 1 << 16).decode(errors="ignore")
            except OSError:  # nobody has the terminal open any more
                break
        return self.text

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


@pytest.fixture
def on_terminal(tmp_path: Path):
    started: list[OnTerminal] = []

    def start(*more: str) -> OnTerminal:
        started.append(OnTerminal(tmp_path / "run", *more))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_run_is_shown_on_a_real_terminal_to_its_end(on_terminal, tmp_path):
    one = on_terminal("--ticks", "100")
    text = one.read()
    assert one.process.wait() == 0
    for words in ("tiny-discrete on ort-cpu", "budget", "stopped by ticks: the limit was reached"):
        assert words in text
    assert "Traceback" not in text


def is_viewer(process: int) -> bool:
    return b"dmh_edge.runtime.records.live_view" in Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_live_view_that_is_killed_costs_nothing(on_terminal, tmp_path):
    one = on_terminal("--duration", "4")
    one.read(until="budget")
    (viewer,) = (number for number in children(one.process.pid) if is_viewer(number))
    os.kill(viewer, signal.SIGKILL)
    one.read()
    assert one.process.wait() == 0
    summary = parse(Summary, (tmp_path / "run" / "summary.json").read_text(), "summary")
    assert (summary.stopped_by, summary.unrecorded_ticks) == ("duration", 0)
