"""What the loop counts while it runs: a few integers and histograms, so that a run may last as long as it likes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

from dmh_edge.runtime.report.histogram import Histogram

#: Why a run ended: a limit was reached, an operator said so, the guard or the watchdog did, or something failed.
StoppedBy = Literal["ticks", "episodes", "duration", "operator", "guard", "watchdog", "error"]

#: Kinds of slots: the policy ran only what it runs on every tick, something that is due now and then too, or nothing.
SlotKind = Literal["actor", "boundary", "no_step"]


@dataclass(slots=True)
class TickTiming:
    """What is known of a tick's slot: its number, and how long each part of it took.

    Attributes:
        slot: number of the slot.
        lateness_ns: from the slot's time to its beginning.
        read_ns: reading the robot.
        compute_ns: computing the policy.
        write_ns: writing the action, which under an action delay happens in the next slot.
        total_ns: from the slot's time to its end.
    """

    slot: int = 0
    lateness_ns: int = 0
    read_ns: int = 0
    compute_ns: int = 0
    write_ns: int = 0
    total_ns: int = 0

    def row(self) -> tuple[int, int, int, int, int, int]:
        """The same in the order of `FIGURES`, as records keep it."""
        return self.slot, self.lateness_ns, self.read_ns, self.compute_ns, self.write_ns, self.total_ns


#: Names of the numbers in a `TickTiming.row`.
FIGURES = tuple(part.name for part in fields(TickTiming))


@dataclass
class Durations:
    """How long the parts of one kind of slot took.

    Attributes:
        lateness: from the slot's time to its beginning.
        compute: computing the policy; empty for slots without a step.
        total: from the slot's time to its end, writing and recording included.
    """

    lateness: Histogram = field(default_factory=Histogram)
    compute: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)


#: Episodes of which the return is kept: four days of episodes that last four seconds.
MOST_RETURNS = 1 << 16


class Returns:
    """The return of each episode, in room that is laid out before the first; what comes after is only counted."""

    def __init__(self) -> None:
        self._values = array("d", bytes(8 * MOST_RETURNS))
        self._count = 0

    def append(self, value: float) -> None:
        """One more episode came to its end."""
        if self._count < MOST_RETURNS:
            self._values[self._count] = value
        self._count += 1

    def __len__(self) -> int:
        """How many episodes."""
        return self._count

    def __getitem__(self, number: int) -> float:
        """That of one episode, counted from 0; NaN where it was not kept."""
        return self._values[number] if number < MOST_RETURNS else math.nan

    def __iter__(self) -> Iterator[float]:
        """The first `MOST_RETURNS` of them."""
        return iter(self._values[: self._count])


@dataclass
class Tally:
    """Counters of one run.

    Attributes:
        slots: turns that the loop took.
        ticks: turns in which the policy took a step that was adopted.
        held_slots: turns without a step because of a fault; the guard chose the action.
        overruns: times that a turn was over so late that at least one slot passed.
        skipped_slots: slots that passed so.
        returns: sum of rewards of each episode that came to its end.
        unfinished_return: that of the episode under way.
        durations: per kind of slot.
        stopped_by: why it ended.
        detail: the same in words.
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
