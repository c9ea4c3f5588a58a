"""What the loop counts while it runs: integers and histograms of fixed size, so that a run can have any length."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

from dmh_edge.runtime.report.histogram import Histogram

#: Why a run ended: a limit was reached; the operator, the guard or the watchdog stopped it; or something failed.
StoppedBy = Literal["ticks", "episodes", "duration", "operator", "guard", "watchdog", "error"]

#: Kinds of slots: ``actor``: the policy ran only the graphs of every tick; ``boundary``: it also ran a slower graph;
#: ``no_step``: it took no step.
SlotKind = Literal["actor", "boundary", "no_step"]


@dataclass(slots=True)
class TickTiming:
    """The number of a tick's slot, and how long each part of it took.

    Attributes:
        slot: number of the slot.
        lateness_ns: time from when the slot should have begun to its beginning.
        read_ns: duration of reading the robot.
        compute_ns: duration of computing the policy.
        write_ns: duration of writing the action, which with an action delay happens in the next slot.
        total_ns: time from when the slot should have begun to its end.
    """

    slot: int = 0
    lateness_ns: int = 0
    read_ns: int = 0
    compute_ns: int = 0
    write_ns: int = 0
    total_ns: int = 0

    def row(self) -> tuple[int, int, int, int, int, int]:
        """The values in the order of `FIGURES`, as records keep them."""
        return self.slot, self.lateness_ns, self.read_ns, self.compute_ns, self.write_ns, self.total_ns


#: Names of the numbers in a `TickTiming.row`.
FIGURES = tuple(part.name for part in fields(TickTiming))


@dataclass
class Durations:
    """How long the parts of one kind of slot took.

    Attributes:
        lateness: times from when a slot should have begun to its beginning.
        compute: durations of computing the policy; empty for slots without a step.
        total: times from when a slot should have begun to its end, writing and recording included.
    """

    lateness: Histogram = field(default_factory=Histogram)
    compute: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)


#: Number of episodes whose return is kept: three days of episodes that last four seconds.
MOST_RETURNS = 1 << 16


class Returns:
    """The return of each episode, in memory allocated before the first; when it is full, episodes are only counted."""

    def __init__(self) -> None:
        self._values = array("d", bytes(8 * MOST_RETURNS))
        self._count = 0

    def append(self, value: float) -> None:
        """Add the return of a finished episode."""
        if self._count < MOST_RETURNS:
            self._values[self._count] = value
        self._count += 1

    def __len__(self) -> int:
        """Number of episodes."""
        return self._count

    def __getitem__(self, number: int) -> float:
        """The return of one episode, counted from 0; NaN where it was not kept."""
        return self._values[number] if number < MOST_RETURNS else math.nan

    def __iter__(self) -> Iterator[float]:
        """The first `MOST_RETURNS` returns."""
        return iter(self._values[: self._count])


@dataclass
class Tally:
    """Counters of one run.

    Attributes:
        slots: number of turns that the loop took.
        ticks: number of turns in which the policy took a step.
        held_slots: number of turns without a step because of a fault; the guard chose the action.
        overruns: number of turns that ended so late that at least one slot was skipped.
        skipped_slots: number of slots that were skipped.
        returns: sum of the rewards of each finished episode.
        unfinished_return: sum of the rewards of the current episode.
        durations: durations of each kind of slot.
        stopped_by: why the run ended.
        detail: why the run ended, in words.
    """

    slots: int = 0
    ticks: int = 0
    held_slots: int = 0
    overruns: int = 0
    skipped_slots: int = 0
    returns: Returns = field(default_factory=Returns)
    unfinished_return: float = 0.0
    durations: dict[SlotKind, Durations] = field(
        default_factory=lambda: {"actor": Durations(), "boundary": Durations(), "no_step": Durations()}
    )
    stopped_by: StoppedBy = "error"
    detail: str = ""
