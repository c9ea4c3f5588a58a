"""What happened in a run, with its times, in memory that was laid out before the first slot.

Faults and turning points of the robot's life. A fault that is there slot after slot is one event with a count; when the
room is used up, further faults are counted and the turning points still kept.
"""

from __future__ import annotations

from array import array
from enum import Enum
from typing import Final

from pydantic import Field

from dmh_edge.clock import Clock
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.schema import Spec


class Moment(str, Enum):
    """A turning point in the life of a robot."""

    SELF_TESTED = "self-tested"
    CONNECTED = "connected"
    ARMED = "armed"
    EPISODE_ENDED = "operator ended the episode"
    OPERATOR_STOP = "operator stop"
    STOPPING = "stop asked of the robot"
    STOPPED = "stop confirmed by the robot"


_KINDS: Final[tuple[Fault | Moment, ...]] = (*Fault, *Moment)
_CODES: Final = {kind: code for code, kind in enumerate(_KINDS)}
#: Room that only turning points may take.
_KEPT_FREE: Final = 64


class Event(Spec):
    """One thing that happened, in one slot or in several in a row."""

    what: str
    """Which fault, or which turning point."""
    at_ns: int
    """When first, nanoseconds of ``CLOCK_MONOTONIC``."""
    until_ns: int
    """When last."""
    slot: int
    """In which slot first; -1 before the first."""
    times: int = Field(ge=1)
    """How often."""


class EventLog:
    """Events in order of their beginning.

    Args:
        clock: stamps them.
        capacity: room for so many.

    Attributes:
        slot: number of the slot under way; -1 before the first.
        dropped: faults for which there was no room.
    """

    def __init__(self, clock: Clock, capacity: int = 4096) -> None:
        self.slot = -1
        self.dropped = 0
        self._clock = clock
        self._room_for_faults = capacity - _KEPT_FREE
        self._capacity = capacity
        self._count = 0
        self._codes = array("B", bytes(capacity))
        self._first_ns, self._last_ns, self._first_slot, self._last_slot, self._times = (
            array("q", bytes(8 * capacity)) for _ in range(5)
        )
        self._latest = [-1] * len(_KINDS)

    def add(self, kind: Fault | Moment) -> None:
        """It happens now."""
        code, now_ns = _CODES[kind], self._clock.now_ns()
        index = self._latest[code]
        if index >= 0 and isinstance(kind, Fault) and self.slot - self._last_slot[index] <= 1:
            self._times[index] += 1
        else:
            index = self._count
            if index >= (self._room_for_faults if isinstance(kind, Fault) else self._capacity):
                self.dropped += 1
                return
            self._count += 1
            self._latest[code] = index
            self._codes[index], self._times[index] = code, 1
            self._first_ns[index], self._first_slot[index] = now_ns, self.slot
        self._last_ns[index], self._last_slot[index] = now_ns, self.slot

    def events(self) -> tuple[Event, ...]:
        """All of them."""
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
