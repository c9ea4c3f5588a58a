"""What begins a slot: the clock, or the robot's own readings. The loop waits for either in the same way.

`ClockPace` uses a grid of slots on the clock and reads the robot in each slot. `RobotPace` is for a robot whose
``read`` blocks until it has measured again. A loop on its own grid would wake up somewhere in such a robot's period,
wait in ``read`` for the rest of the period, and sometimes lose a slot only because of the phase. Here the robot's
measurement begins the slot:

    start      the reading's stamp; the time of arrival, where the stamp does not increase or lies in the future
    lateness   from the start until the loop has the reading: the robot's transport, and work that the loop was still
               doing
    skipped    periods between two stamps, rounded, without a reading; a robot's clock can be a little fast or slow
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dmh_edge.clock import Clock, MonotonicClock, PacedBy, Rate, Slot
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.protocol import Reading, Robot
from dmh_edge.runtime.loop.asking import ask_reading
from dmh_edge.runtime.realtime import RealTime

#: Number of readings over which the rate is checked. If they come in less than half as many periods, the robot's
#: ``read`` does not wait for a new measurement.
_WINDOW = 20


@dataclass(frozen=True)
class Timing:
    """The timing of the loop.

    Attributes:
        rate_hz: control rate in Hz; None for the policy's rate.
        paced_by: what begins a slot: the clock or the robot.
        realtime: whether the loop's thread asks the kernel for real time; it is given back before the records are
            written.
        clock: clock of the loop.
    """

    rate_hz: float | None = None
    paced_by: PacedBy = "clock"
    realtime: RealTime = "off"
    clock: Clock = field(default_factory=MonotonicClock)

    def pace(self, robot: Robot, policy_rate_hz: float) -> Pace:
        """The pace of one robot.

        Args:
            robot: the robot; it need not be connected.
            policy_rate_hz: control rate that the policy was made for, in Hz.

        Raises:
            ConfigError: the rate is not a positive number, or the robot has no pace of its own.
        """
        rate_hz = policy_rate_hz if self.rate_hz is None else self.rate_hz
        return (RobotPace if self.paced_by == "robot" else ClockPace)(rate_hz, robot, self.clock)


class Pace(Protocol):
    """Waits for slot after slot, and gives the robot's reading for each.

    Attributes:
        rate_hz: control rate in Hz.
        period_ns: control period in nanoseconds.
        clock: clock of the loop.
    """

    rate_hz: float
    period_ns: int
    clock: Clock

    def restart(self) -> None:
        """Begin again after a pause that was not the loop's lateness; no slot counts as skipped."""
        ...

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Wait for the next slot.

        Args:
            interrupted: called before and after the wait; true ends it.

        Returns:
            the slot; None when the wait was interrupted.

        Raises:
            RobotError: the robot sets the pace, and its ``read`` fails or does not block.
        """
        ...

    def read(self) -> Reading:
        """The robot's reading for the current slot.

        Raises:
            RobotError: the robot failed, or did not return a `Reading`.
        """
        ...


class ClockPace:
    """A grid of slots on the clock; see `Pace`.

    Args:
        rate_hz: slots per second, above 0.
        robot: the robot, which is read once in each slot.
        clock: clock of the loop.

    Raises:
        ConfigError: the rate is not a positive finite number.
    """

    def __init__(self, rate_hz: float, robot: Robot, clock: Clock) -> None:
        self._rate, self._robot = Rate(rate_hz, clock), robot
        self.rate_hz, self.period_ns, self.clock = rate_hz, self._rate.period_ns, clock

    def restart(self) -> None:
        """Let the next slot begin at once."""
        self._rate.restart()

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Sleep until the next slot whose time has not yet come; see `Rate.wait`."""
        return self._rate.wait(interrupted)

    def read(self) -> Reading:
        """Read the robot now."""
        return ask_reading(self._robot.read)


class RobotPace:
    """Slots counted from the robot's own readings; see `Pace`.

    Args:
        rate_hz: rate at which the robot measures, in Hz.
        robot: the robot, which `wait` reads.
        clock: clock of the loop.

    Raises:
        ConfigError: the rate is not a positive finite number, or the robot's time stands still until an action is
            written, so that it has no pace of its own.
    """

    _reading: Reading

    def __init__(self, rate_hz: float, robot: Robot, clock: Clock) -> None:
        if robot.lockstep:
            raise ConfigError("--pace robot: this robot runs in lockstep and has no clock of its own; use --pace clock")
        self.rate_hz, self.period_ns, self.clock = rate_hz, Rate(rate_hz, clock).period_ns, clock
        self._robot = robot
        self._index = -1
        self._last_ns: int | None = None  # start of the slot before
        self._window_ns, self._in_window = 0, 0

    def restart(self) -> None:
        """Take the time until the next reading as a pause: no slot counts as skipped."""
        self._last_ns = None
        self._in_window = 0

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Wait in the robot's ``read`` for its next measurement, which begins the slot.

        Raises:
            RobotError: ``read`` fails, or does not block: readings come in at more than twice the rate.
        """
        if interrupted():
            return None
        self._reading = ask_reading(self._robot.read)
        now_ns = self.clock.now_ns()
        if interrupted():
            return None
        self._check_window(now_ns)
        goes_on = self._last_ns is None or self._reading.stamp_ns > self._last_ns
        start_ns = self._reading.stamp_ns if goes_on and self._reading.stamp_ns <= now_ns else now_ns
        skipped = 0 if self._last_ns is None else max(0, round((start_ns - self._last_ns) / self.period_ns) - 1)
        self._index += 1 + skipped
        self._last_ns = start_ns
        return Slot(self._index, start_ns, now_ns - start_ns, skipped)

    def read(self) -> Reading:
        """The reading that began the slot."""
        return self._reading

    def _check_window(self, now_ns: int) -> None:
        if self._in_window == 0:
            self._window_ns = now_ns
        self._in_window += 1
        if self._in_window > _WINDOW:
            if now_ns - self._window_ns < _WINDOW * self.period_ns // 2:
                raise RobotError(
                    f"--pace robot: {_WINDOW} readings came in {(now_ns - self._window_ns) / 1e6:.3g} ms, expected one "
                    f"every {self.period_ns / 1e6:g} ms; this robot's read does not wait for a new measurement: "
                    "use --pace clock"
                )
            self._in_window = 0
