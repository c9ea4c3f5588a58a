"""The live view: a process that shows the current state of a run on the terminal, a few times a second.

It reads the shared memory like any other reader. A slow terminal does not delay the loop: the view leaves out what
it has no time to show.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dmh_edge.clock import NS_PER_S
from dmh_edge.runtime.records.layout import COUNTS, EVENT, TICK
from dmh_edge.runtime.records.reader import Attached
from dmh_edge.runtime.report.tally import FIGURES

_FRAME_S: Final = 0.2
#: The view shows the durations of this much time.
_WINDOW_S: Final = 2.0
_EPISODES_SHOWN: Final = 12
_EVENTS_SHOWN: Final = 3


class Tick(NamedTuple):
    """The times of a step that the view keeps, in nanoseconds."""

    time_ns: int
    lateness_ns: int
    total_ns: int


class View:
    """Collects records, and renders what the terminal shows.

    Args:
        title: title above the view.
        rate_hz: rate of the loop in Hz.
    """

    def __init__(self, title: str, rate_hz: float) -> None:
        self._title, self._rate_hz = title, rate_hz
        self._ticks: deque[Tick] = deque()
        self._counts = dict.fromkeys(COUNTS, 0)
        self._return = 0.0
        self._ended: deque[str] = deque(maxlen=_EPISODES_SHOWN)
        self._faults: deque[str] = deque(maxlen=_EVENTS_SHOWN)
        self._guard = Text("no fault", style="green")
        self._fault_ns = 0
        self.lost = 0

    def add(self, records: Any) -> None:
        """Add records of the ring of slots, oldest first."""
        lateness, total = FIGURES.index("lateness_ns"), FIGURES.index("total_ns")
        for record in records:
            now_ns = int(record["time_ns"])
            if record["kind"] == TICK:
                figures = record["figures"]
                self._ticks.append(Tick(now_ns, int(figures[lateness]), int(figures[total])))
            elif record["kind"] == EVENT:
                self._happened(record["name"].decode(), record["detail"].decode(errors="ignore"), now_ns)
            while self._ticks and now_ns - self._ticks[0].time_ns > _WINDOW_S * NS_PER_S:
                self._ticks.popleft()
        if len(records):
            last = records[-1]
            self._counts = dict(zip(COUNTS, last["counts"].tolist(), strict=True))
            self._return = float(last["episode_return"])
            if self._fault_ns and int(last["time_ns"]) - self._fault_ns > _WINDOW_S * NS_PER_S:
                self._guard, self._fault_ns = Text("no fault", style="green"), 0

    def _happened(self, kind: str, detail: str, now_ns: int) -> None:
        if kind == "episode":
            self._ended.append(detail.rpartition(" ")[2])
        elif kind == "stop":
            self._guard = Text(f"stopped by {detail}", style="bold")
            self._fault_ns = 0
        elif kind == "fault":
            self._guard, self._fault_ns = Text(detail, style="bold yellow"), now_ns
            self._faults.append(detail)

    def frame(self) -> Group:
        """The view as it is now."""
        period_us = 1e6 / self._rate_hz
        time_ns, lateness_ns, total_ns = np.array(self._ticks, np.float64).reshape(-1, 3).T
        seconds = (time_ns[-1] - time_ns[0]) / NS_PER_S if len(time_ns) else 0.0
        rate = (len(time_ns) - 1) / seconds if seconds else 0.0
        late, total = lateness_ns / 1000, total_ns / 1000
        worst = float(total.max()) if len(total) else 0.0
        table = Table.grid(padding=(0, 2))
        table.add_row("rate", f"{rate:.1f} of {self._rate_hz:g} Hz")
        table.add_row("lateness", _spread(late))
        table.add_row("total", f"{_spread(total)}, budget {period_us:.0f} us")
        style = "green" if worst < 0.7 * period_us else "yellow" if worst <= period_us else "red"
        bar = ProgressBar(
            total=period_us, completed=min(worst, period_us), width=40, complete_style=style, finished_style=style
        )
        table.add_row("budget", bar)
        skipped, held = self._counts["skipped_slots"], self._counts["held_slots"]
        table.add_row(
            "slots",
            f"{self._counts['slots']}, {self._counts['overruns']} overruns, {skipped} skipped, {held} held"
            + (f"; {self.lost} not shown" if self.lost else ""),
        )
        table.add_row("episode", f"{self._counts['episodes'] + 1}, return so far {self._return:.4g}")
        table.add_row("returns", " ".join(self._ended) or "none yet")
        table.add_row("guard", self._guard)
        if self._faults:
            table.add_row("last faults", Text(" | ".join(self._faults), style="yellow"))
        return Group(Text(self._title, style="bold"), table)


def _spread(values_us: Any) -> str:
    if not len(values_us):
        return "-"
    return f"p50 {np.median(values_us):.0f}, p99 {np.quantile(values_us, 0.99):.0f}, max {values_us.max():.0f} us"


def main() -> None:
    """Show the run until the loop's process ends; the last frame stays on the terminal."""
    attached = Attached()
    view = View(attached.settings["title"], attached.settings["rate_hz"])
    console = Console(stderr=True, force_terminal=True)
    attached.say_ready()
    with Live(view.frame(), console=console, auto_refresh=False) as live:
        ended = False
        while not ended:
            ended = attached.ended_within(_FRAME_S)
            while len(records := attached.take_slots(ended=ended)):
                view.add(records)
            view.lost = attached.lost
            live.update(view.frame(), refresh=True)
    attached.say({})
