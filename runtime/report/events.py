"""The events of a run in one stream: each is passed on when it happens, and kept with its time for the report.

The loop and the guard add the events. The records listen to all of them. The log keeps the faults and the turning
points of the run, in memory allocated before the first slot: a fault in several slots in a row is one event with a
count. When the memory is used up, further faults are only counted, and turning points are still kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from enum import Enum
from typing import Final, Literal

from pydantic import Field

from dmh_edge.clock import Clock
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.schema import Spec


class Moment(str, Enum):
    """A turning point in a run."""

    SELF_TESTED = "self-tested"
    CONNECTED = "connected"
    ARMED = "armed"
    EPISODE_ENDED = "operator ended the episode"
    OPERATOR_STOP = "operator stop"
    STOPPING = "stop asked of the robot"
    STOPPED = "stop confirmed by the robot"


#: Kinds of events: a fault, a turning point, slots that passed without a turn, a finished episode, and why the run
#: ended.
EventKind = Literal["fault", "moment", "overrun", "episode", "stop"]

#: Function that gets each event: its kind, and what happened in words.
Listener = Callable[[EventKind, str], None]

_KINDS: Final[tuple[Fault | Moment, ...]] = (*Fault, *Moment)
_CODES: Final = {kind: code for code, kind in enumerate(_KINDS)}
#: Number of events for which room is kept free for turning points.
_KEPT_FREE: Final = 64


class Event(Spec):
    """A fault or a turning point, in one slot or in several in a row."""

    what: str
    """Name of the fault or the turning point."""
    at_ns: int
    """When it was first seen, in nanoseconds of ``CLOCK_MONOTONIC``."""
    until_ns: int
    """When it was last seen, in nanoseconds of ``CLOCK_MONOTONIC``."""
    slot: int
    """Number of the slot in which it was first seen; -1 before the first slot."""
    times: int = Field(ge=1)
    """How often it was seen."""


class EventLog:
    """The stream of events, and the log for the report, in the order in which the events began.

    Args:
        clock: clock for the times of the events.
        listener: function that gets every event when it happens; None where there are no records.
        capacity: number of events that the log has room for.

    Attributes:
        slot: number of the current slot; -1 before the first.
        dropped: number of faults for which the log had no room.
        listener: function that gets every event when it happens; None where there are no records.
    """

    def __init__(self, clock: Clock, listener: Listener | None = None, capacity: int = 4096) -> None:
        self.slot = -1
        self.dropped = 0
        self.listener = listener
        self._clock = clock
        self._room_for_faults = capacity - _KEPT_FREE
        self._capacity = capacity
        self._count = 0
        self._codes = array("B", bytes(capacity))
        self._first_ns, self._last_ns, self._first_slot, self._last_slot, self._times = (
            array("q", bytes(8 * capacity)) for _ in range(5)
        )
        self._latest = [-1] * len(_KINDS)

    def add(self, what: Fault | Moment) -> None:
        """Add a fault that is seen now, or a turning point that is reached now."""
        self._keep(what)
        self._tell("fault" if isinstance(what, Fault) else "moment", what.value)

    def slots_passed(self, count: int) -> None:
        """Report slots that passed without a turn."""
        self._tell("overrun", f"{count} slot{'s' * (count > 1)} passed without a turn")

    def episode_ended(self, number: int, episode_return: float) -> None:
        """Report that an episode is finished; the first one has number 1."""
        self._tell("episode", f"episode {number} ended, return {episode_return:.6g}")

    def run_ended(self, why: str) -> None:
        """Report that the run is over, and why; the robot stands still."""
        self._tell("stop", why)

    def events(self) -> tuple[Event, ...]:
        """All events that the log has kept."""
        return tuple(
            Event(
                what=_KINDS[self._codes[index]].value,
                at_ns=self._first_ns[index],
                until_ns=self._last_ns[index],
                slot=self._first_slot[index],
                times=self._times[index],
            )
            for index in range(self._count)
        )

    def _tell(self, kind: EventKind, detail: str) -> None:
        if self.listener is not None:
            self.listener(kind, detail)

    def _keep(self, what: Fault | Moment) -> None:
        code, now_ns = _CODES[what], self._clock.now_ns()
        index = self._latest[code]
        if index >= 0 and isinstance(what, Fault) and self.slot - self._last_slot[index] <= 1:
            self._times[index] += 1
        else:
            index = self._count
            if index >= (self._room_for_faults if isinstance(what, Fault) else self._capacity):
                self.dropped += 1
                return
            self._count += 1
            self._latest[code] = index
            self._codes[index], self._times[index] = code, 1
            self._first_ns[index], self._first_slot[index] = now_ns, self.slot
        self._last_ns[index], self._last_slot[index] = now_ns, self.slot
