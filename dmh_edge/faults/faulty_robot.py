"""A robot that fails on purpose: any robot, with a named fault from a chosen reading on.

    FaultyRobot(Arm(address="simulated"), "stale", When(at=20))

Only what the guard let through reaches the robot inside, so the monitor of that robot can judge how the fault was met.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dmh_edge.clock import NS_PER_S, Clock, MonotonicClock
from dmh_edge.errors import ConfigError, unknown
from dmh_edge.faults.catalogue import ROBOT_FAULTS
from dmh_edge.faults.when import ALWAYS, When
from dmh_edge.robots.protocol import Action, Reading, Robot

#: Name that stands for no fault: the robot calls a function of the caller at the chosen readings.
CALL = "call"
#: Faults that do not show in a reading.
_NOT_IN_READINGS = ("write-late", "write-raises", "applied-nan", "reset-blocks")


class FaultyRobot:
    """A robot with a fault.

    Args:
        robot: the robot inside.
        fault: one of `ROBOT_FAULTS`, or `CALL`.
        when: the readings in which the fault shows.
        clock: clock for the times in the attributes; None for the machine's clock.
        pause: function that lets some seconds pass.
        call: function to call where the fault is `CALL`.

    Attributes:
        injected_ns: when the fault showed first, in nanoseconds; None before.
        stopped_ns: when ``stop`` was first called after that, in nanoseconds; None before.
        readings: number of readings so far.

    Raises:
        ConfigError: there is no such fault.
    """

    def __init__(
        self,
        robot: Robot,
        fault: str,
        when: When = ALWAYS,
        *,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
        call: Callable[[], None] = lambda: None,
    ) -> None:
        if fault not in (known := (*ROBOT_FAULTS, CALL)):
            raise ConfigError(unknown("fault", fault, known))
        self._robot, self._fault, self._when = robot, fault, when
        self._clock = MonotonicClock() if clock is None else clock
        self._pause, self._call = pause, call
        self._period_s = 1 / robot.task.rate_hz
        self._kept: Reading | None = None
        self._jitter = itertools.cycle((0.0, 1e-4))
        self.injected_ns: int | None = None
        self.stopped_ns: int | None = None
        self.readings = 0
        self.task = robot.task
        self.lockstep = robot.lockstep
        self.simulated = robot.simulated
        self.command_timeout_s = robot.command_timeout_s
        self.damp = robot.damp

    def connect(self) -> None:
        """Connect the robot inside."""
        self._robot.connect()

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """The stop path of the robot inside."""
        return self._robot.stop_path

    def arm(self) -> None:
        """Arm the robot inside."""
        self._robot.arm()

    def reset(self) -> None:
        """Reset the robot inside, after a minute under the fault ``reset-blocks``."""
        if self._shows("reset-blocks"):
            if monitor := getattr(self._robot, "monitor", None):
                monitor.resetting()  # a robot that hangs in its reset expects no action
            self._pause(60)
        self._robot.reset()

    def read(self) -> Reading:
        """Read the robot inside; the fault can spoil the reading, delay it or raise."""
        self._fail_if("disconnects", "read-raises")
        if self._shows(CALL):
            self._call()
        if self._shows("read-late"):
            self._pause(1.5 * self._period_s)
        reading = self._spoilt(self._robot.read())
        self.readings += 1
        return reading

    def write(self, action: Action) -> Action:
        """Write to the robot inside; the fault can delay the call, raise or spoil the applied action."""
        self.readings -= 1  # an action belongs to the reading before it
        try:
            self._fail_if("disconnects", "write-raises")
            if self._shows("write-late"):
                self._pause(1.5 * self._period_s)
            applied = self._robot.write(action)
            return applied * np.float32(np.nan) if self._shows("applied-nan") else applied
        finally:
            self.readings += 1

    def stop(self) -> None:
        """Stop the robot inside; under the fault ``disconnects`` it raises."""
        if self.injected_ns is not None and self.stopped_ns is None:
            self.stopped_ns = self._clock.now_ns()
        if self._fault == "disconnects" and self.injected_ns is not None:
            raise OSError("no route to the robot")
        self._robot.stop()

    def close(self) -> None:
        """Close the robot inside."""
        self._robot.close()

    def _shows(self, *faults: str) -> bool:
        """Whether one of these faults shows now."""
        if self._fault not in faults or not self._when.includes(self.readings):
            return False
        if self.injected_ns is None:
            self.injected_ns = self._clock.now_ns()
        return True

    def _fail_if(self, *faults: str) -> None:
        if self._shows(*faults):
            raise OSError("no route to the robot")

    def _spoilt(self, reading: Reading) -> Reading:
        if self._fault in _NOT_IN_READINGS or not self._shows(self._fault):
            return reading
        observation = reading.observation.copy()
        second_ns = NS_PER_S
        changes: dict[str, Any] = {}
        match self._fault:
            case "observation-nan":
                observation[0] = np.nan
            case "observation-inf":
                observation[-1] = -np.inf
            case "observation-shape":
                observation = observation[:-1]
            case "observation-bounds":
                observation[0] = np.float32(self.task.observation[0].high + 1)
            case "stale":
                changes["stamp_ns"] = reading.stamp_ns - second_ns
            case "future":
                changes["stamp_ns"] = reading.stamp_ns + second_ns
            case "stamp-back":
                self._kept = self._kept or reading
                elapsed_ns = reading.stamp_ns - self._kept.stamp_ns
                changes["stamp_ns"] = self._kept.stamp_ns - elapsed_ns - round(1.5 * self._period_s * second_ns)
            case "frozen" | "stuck":
                self._kept = self._kept or reading
                observation = self._kept.observation.copy()
                if self._fault == "stuck":  # the sensors of a robot that stands still are noisy too
                    observation += np.float32(next(self._jitter))
            case "reward-nan":
                changes["reward"] = math.nan
            case "reward-missing":
                changes["reward_valid"] = False
            case "reward-bounds":
                changes["reward"] = self.task.reward.high + 1 + abs(self.task.reward.high)
        return replace(reading, observation=observation, **changes)
