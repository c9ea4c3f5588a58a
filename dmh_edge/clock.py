"""Time for control: a monotonic clock, a fake one for tests, and a rate on absolute slots.

All times are integer nanoseconds of ``CLOCK_MONOTONIC``. Slot k begins at ``start + k * period``; a slot that is over
before its turn is skipped and counted, never caught up in a burst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from dmh_edge.errors import ConfigError

NS_PER_S = 1_000_000_000

#: What begins a slot of the loop: the clock, or the robot's own readings.
PacedBy = Literal["clock", "robot"]

#: The longest single sleep. A signal that comes after the last look and before the sleep does not end the sleep: with a
#: longer one, a stop would wait for the slot.
_NAP_NS = NS_PER_S // 10


class Clock(Protocol):
    """What a loop needs to know of time."""

    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        ...

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at ``deadline_ns`` or as soon after it as the machine allows; at once when it has passed.

        A signal ends the sleep early, so that the caller can look at what its handler left behind.
        """
        ...


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_TIMER_ABSTIME = 1


class MonotonicClock:
    """The machine's clock. It sleeps by ``clock_nanosleep`` on absolute time; one instance serves one thread.

    ``time.sleep`` would be relative on Python 3.10, and on every version goes back to sleep after a signal.

    Args:
        spin_ns: the last nanoseconds before a deadline, in which it watches the time instead of sleeping. The wake-up
            is then never late because of the sleep, and the core is busy meanwhile.
    """

    def __init__(self, spin_ns: int = 0) -> None:
        self._spin_ns = spin_ns
        # A CDLL function releases the GIL and touches no reference counts while it sleeps.
        self._sleep = ctypes.CDLL(None).clock_nanosleep
        self._until = _Timespec()
        self._until_pointer = ctypes.byref(self._until)

    def now_ns(self) -> int:
        """Nanoseconds of ``CLOCK_MONOTONIC``."""
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep to an absolute time, or until a signal was handled."""
        self._until.seconds, self._until.nanoseconds = divmod(deadline_ns - self._spin_ns, NS_PER_S)
        code = self._sleep(time.CLOCK_MONOTONIC, _TIMER_ABSTIME, self._until_pointer, None)
        if code not in (0, errno.EINTR):
            raise OSError(code, os.strerror(code))
        while code == 0 and self._spin_ns and time.monotonic_ns() < deadline_ns:
            pass


class FakeClock:
    """A clock that moves only when told to, or when a caller sleeps on it."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The fake time."""
        return self._now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Jump to the deadline."""
        self._now_ns = max(self._now_ns, deadline_ns)

    def advance_ns(self, duration_ns: int) -> None:
        """Let time pass, as a computation would."""
        self._now_ns += duration_ns


@dataclass(frozen=True, slots=True)
class Slot:
    """One turn of a `Rate`.

    Attributes:
        index: number of the slot on the grid, from 0; a gap means skipped slots.
        start_ns: when it should have begun.
        lateness_ns: how much later it did begin.
        skipped: slots that passed without a turn since the turn before.
    """

    index: int
    start_ns: int
    lateness_ns: int
    skipped: int


class Rate:
    """A grid of slots on the monotonic clock.

    Args:
        rate_hz: slots per second, above 0.
        clock: where time comes from.

    Raises:
        ConfigError: the rate is not a positive finite number.
    """

    def __init__(self, rate_hz: float, clock: Clock) -> None:
        if not 0 < rate_hz < float("inf"):
            raise ConfigError(f"rate: got {rate_hz} Hz, expected a positive number")
        self.period_ns = round(NS_PER_S / rate_hz)
        self._clock = clock
        self._start_ns: int | None = None
        self._next_index = 0

    def restart(self) -> None:
        """Lay the grid anew: the next slot begins at once. After a pause that was not the loop's own lateness."""
        self._start_ns = None

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Sleep until the next slot whose time has not yet come. A slot whose beginning was missed is skipped.

        Args:
            interrupted: asked before every sleep, every tenth of a second and after every signal; true ends the wait.

        Returns:
            the slot; None when the wait was interrupted, and the slot is then not spent.
        """
        now_ns = self._clock.now_ns()
        if self._start_ns is None:
            self._start_ns = now_ns - self._next_index * self.period_ns
        first_ahead = -((self._start_ns - now_ns) // self.period_ns)  # the division rounded up
        index = max(self._next_index, first_ahead)
        start_ns = self._start_ns + index * self.period_ns
        while now_ns < start_ns:
            if interrupted():
                return None
            self._clock.sleep_until_ns(min(start_ns, now_ns + _NAP_NS))
            now_ns = self._clock.now_ns()
        if interrupted():
            return None
        slot = Slot(index, start_ns, now_ns - start_ns, index - self._next_index)
        self._next_index = index + 1
        return slot
