"""Slots counted from the robot's own readings, for a robot whose ``read`` blocks until it has measured again.

A loop on a grid of its own wakes up somewhere in such a robot's period, waits in ``read`` for the rest of it, and now
and then loses a slot to nothing but the phase. Here the robot's measurement begins the slot:

    start      the reading's stamp; where that does not go on, or lies in the future, the moment it arrived
    lateness   from then until the loop has the reading: the robot's transport, and what the loop was still busy with
    skipped    periods between two stamps, rounded, without a reading; a robot's clock may be a little fast or slow
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dmh_edge.clock import Clock, Rate, Slot
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.protocol import Reading, Robot
from dmh_edge.runtime.loop.asking import ask_reading

#: Who says when a slot begins.
Pace = Literal["clock", "robot"]

#: So many readings in less than half as many periods: the robot does not wait for its own clock.
_WINDOW = 20


class RobotPace:
    """Takes the place of a `Rate` in the loop.

    Args:
        rate_hz: at which the robot measures.
        robot: asked for a reading by `wait`.
        clock: where time comes from.

    Attributes:
        period_ns: of the control loop.

    Raises:
        ConfigError: the robot's time stands still until it is written to: it has no pace.
    """

    _reading: Reading

    def __init__(self, rate_hz: float, robot: Robot, clock: Clock) -> None:
        if robot.lockstep:
            raise ConfigError("--pace robot: this robot runs in lockstep and has no clock of its own; use --pace clock")
        self.period_ns = Rate(rate_hz, clock).period_ns
        self._robot, self._clock = robot, clock
        self._index = -1
        self._last_ns: int | None = None  # start of the slot before
        self._window_ns, self._in_window = 0, 0

    def restart(self) -> None:
        """The time until the next reading is a pause, and costs no slot."""
        self._last_ns = None
        self._in_window = 0

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> Slot | None:
        """Wait in the robot's ``read`` for its next measurement.

        Args:
            interrupted: asked before and after.

        Returns:
            the slot that the reading begins; None when the wait was interrupted.

        Raises:
            RobotError: ``read`` fails, or does not block: readings come in at more than twice the rate.
        """
        if interrupted():
            return None
        self._reading = ask_reading(self._robot.read)
        now_ns = self._clock.now_ns()
        if interrupted():
            return None
        self._check_window(now_ns)
        goes_on = self._last_ns is None or self._reading.stamp_ns > self._last_ns
        start_ns = self._reading.stamp_ns if goes_on and self._reading.stamp_ns <= now_ns else now_ns
        skipped = 0 if self._last_ns is None else max(0, round((start_ns - self._last_ns) / self.period_ns) - 1)
        self._index += 1 + skipped
        self._last_ns = start_ns
        return Slot(self._index, start_ns, now_ns - start_ns, skipped)

    def latest(self) -> Reading:
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
