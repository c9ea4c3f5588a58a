"""Time for control: a monotonic clock, a fake one for tests, and a rate on absolute slots.

All times are integer nanoseconds of ``CLOCK_MONOTONIC``. Slot k begins at ``start + k * period``. A slot whose
beginning was missed is skipped and counted; missed slots are never caught up in a burst.
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

#: The longest single sleep. A signal that comes after the last check and before the sleep does not end the sleep: if
#: the sleep were longer, a stop would wait for the slot.
_NAP_NS = NS_PER_S // 10


class Clock(Protocol):
    """What a loop needs from a clock."""

    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        ...

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at ``deadline_ns`` or as soon after it as the machine allows; at once when it has passed.

        A signal ends the sleep early, so that the caller can check what the signal's handler recorded.
        """
        ...


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_TIMER_ABSTIME = 1


class MonotonicClock:
    """The machine's clock. It sleeps by ``clock_nanosleep`` until an absolute time; one instance serves one thread.

    ``time.sleep`` is relative on Python 3.10, and on every version it goes back to sleep after a signal.

    Args:
        spin_ns: how long before a deadline the clock stops sleeping and polls the time, in nanoseconds. The wake-up is
            then not late because of the sleep; the core is busy meanwhile.
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
        """Sleep until an absolute time, or until a signal was handled."""
        self._until.seconds, self._until.nanoseconds = divmod(deadline_ns - self._spin_ns, NS_PER_S)
        code = self._sleep(time.CLOCK_MONOTONIC, _TIMER_ABSTIME, self._until_pointer, None)
        if code not in (0, errno.EINTR):
            raise OSError(code, os.strerror(code))
        while code == 0 and self._spin_ns and time.monotonic_ns() < deadline_ns:
            pass


class FakeClock:
    """A clock that advances only when a caller advances it or sleeps on it."""

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
        start_ns: when the slot should have begun, in nanoseconds.
        lateness_ns: how much later it did begin, in nanoseconds.
        skipped: number of slots that were skipped just before this one.
    """

    index: int
    start_ns: int
    lateness_ns: int
    skipped: int


class Rate:
    """A grid of slots on the monotonic clock.

    Args:
        rate_hz: slots per second, above 0.
        clock: clock that gives the time.

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
        """Start a new grid, whose first slot begins at once: for use after a pause that was not the loop's lateness."""
        self._start_ns = None

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Sleep until the next slot whose time has not yet come. A slot whose beginning was missed is skipped.

        Args:
            interrupted: called before every sleep, every tenth of a second and after every signal; true ends the wait.

        Returns:
            the slot; None when the wait was interrupted: the next call can then still return that slot.
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
