"""What begins a slot: the clock, or the robot's own readings. The loop waits for either in the same way.

`ClockPace` lays a grid of slots on the clock and reads the robot in each. `RobotPace` is for a robot whose ``read``
blocks until it has measured again. A loop on a grid of its own would wake up somewhere in such a robot's period, wait
in ``read`` for the rest of it, and now and then lose a slot to nothing but the phase. Here the robot's measurement
begins the slot:

    start      the reading's stamp; the moment it arrived, where the stamp does not go on or lies in the future
    lateness   from then until the loop has the reading: the robot's transport, and what the loop was still busy with
    skipped    periods between two stamps, rounded, without a reading; a robot's clock may be a little fast or slow
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

#: So many readings in less than half as many periods: the robot does not wait for its own clock.
_WINDOW = 20


@dataclass(frozen=True)
class Timing:
    """When the loop takes its turns.

    Attributes:
        rate_hz: control rate; None for the policy's own.
        paced_by: what begins a slot.
        realtime: what to ask of the kernel for the loop's thread; it is given back before anything is written.
        clock: where time comes from.
    """

    rate_hz: float | None = None
    paced_by: PacedBy = "clock"
    realtime: RealTime = "off"
    clock: Clock = field(default_factory=MonotonicClock)

    def pace(self, robot: Robot, policy_rate_hz: float) -> Pace:
        """The pace of one robot.

        Args:
            robot: need not be connected.
            policy_rate_hz: control rate that the policy was made for.

        Raises:
            ConfigError: the rate is not a positive number, or the robot has no pace of its own.
        """
        rate_hz = policy_rate_hz if self.rate_hz is None else self.rate_hz
        return (RobotPace if self.paced_by == "robot" else ClockPace)(rate_hz, robot, self.clock)


class Pace(Protocol):
    """Slot after slot, and the reading of each.

    Attributes:
        rate_hz: control rate.
        period_ns: control period in nanoseconds.
        clock: where time comes from.
    """

    rate_hz: float
    period_ns: int
    clock: Clock

    def restart(self) -> None:
        """Begin anew after a pause that was not the loop's own lateness; it costs no slot."""
        ...

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Wait for the next slot.

        Args:
            interrupted: asked before and after; true ends the wait.

        Returns:
            the slot; None when the wait was interrupted.

        Raises:
            RobotError: the robot sets the pace and fails, or does not block.
        """
        ...

    def read(self) -> Reading:
        """The robot's reading for the slot under way.

        Raises:
            RobotError: the robot failed, or gave something that is not a `Reading`.
        """
        ...


class ClockPace:
    """A grid of slots on the clock; see `Pace`.

    Args:
        rate_hz: slots per second, above 0.
        robot: read once in each slot.
        clock: where time comes from.

    Raises:
        ConfigError: the rate is not a positive finite number.
    """

    def __init__(self, rate_hz: float, robot: Robot, clock: Clock) -> None:
        self._rate, self._robot = Rate(rate_hz, clock), robot
        self.rate_hz, self.period_ns, self.clock = rate_hz, self._rate.period_ns, clock

    def restart(self) -> None:
        """The next slot begins at once."""
        self._rate.restart()

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Sleep until the next slot whose time has not yet come; see `Rate.wait`."""
        return self._rate.wait(interrupted)

    def read(self) -> Reading:
        """Ask the robot now."""
        return ask_reading(self._robot.read)


class RobotPace:
    """Slots counted from the robot's own readings; see `Pace`.

    Args:
        rate_hz: rate at which the robot measures.
        robot: asked for a reading by `wait`.
        clock: where time comes from.

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
        """The time until the next reading is a pause, and costs no slot."""
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
