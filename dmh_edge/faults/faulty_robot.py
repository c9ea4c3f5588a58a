"""A robot that fails on purpose: any robot, with a named fault from a chosen reading on.

    FaultyRobot(Arm(address="simulated"), "stale", at=20)

What reaches the robot inside is what the guard let through, so its monitor can judge how the fault was met.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from dmh_edge.clock import NS_PER_S, Clock, MonotonicClock
from dmh_edge.errors import ConfigError, unknown
from dmh_edge.robots.protocol import Action, Reading, Robot

#: What can go wrong in a robot, by name.
ROBOT_FAULTS = MappingProxyType(
    {
        "observation-nan": "an element is not a number",
        "observation-inf": "an element is infinite",
        "observation-shape": "an element is missing",
        "observation-bounds": "an element is outside what is physical",
        "stale": "the stamp says that it is old",
        "future": "the stamp lies in the future",
        "stamp-back": "the clock of the stamps runs backwards",
        "frozen": "the values stay the same under fresh stamps",
        "stuck": "the robot stays where it is, whatever it is told",
        "reward-nan": "the reward is not a number",
        "reward-missing": "there is no reward",
        "reward-bounds": "the reward is larger than any can be",
        "read-late": "reading takes one and a half periods",
        "write-late": "writing takes one and a half periods",
        "read-raises": "reading raises",
        "write-raises": "writing raises",
        "applied-nan": "it says that it applied what is not a number",
        "disconnects": "whatever is asked of it raises, stop too",
        "reset-blocks": "the next reset takes a minute",
        "call": "at that reading a function of the caller's is called",
    }
)

#: Those that show when it is not read.
_ELSEWHERE = ("write-late", "write-raises", "applied-nan", "reset-blocks")


@dataclass(frozen=True)
class When:
    """When a fault shows.

    Attributes:
        at: number, from 0, at which it begins.
        lasts: for so many; None for ever.
        every: it shows in every so many of them.
    """

    at: int = 0
    lasts: int | None = None
    every: int = 1

    def includes(self, number: int) -> bool:
        """Whether it shows at that number."""
        since = number - self.at
        return since >= 0 and (self.lasts is None or since < self.lasts) and since % self.every == 0


class FaultyRobot:
    """A robot with a fault.

    Args:
        robot: the one inside.
        fault: one of `ROBOT_FAULTS`.
        at: number of the reading, from 0, at which the fault begins.
        lasts: readings for which it lasts; None for ever.
        every: it shows in every so many of them.
        clock: stamps what is kept here; None for the machine's.
        pause: lets seconds pass.
        call: for the fault ``call``.

    Attributes:
        injected_ns: when the fault showed first; None before.
        stopped_ns: when ``stop`` was first asked for after that; None before.
        readings: how many there were.

    Raises:
        ConfigError: there is no such fault.
    """

    def __init__(
        self,
        robot: Robot,
        fault: str,
        *,
        at: int = 0,
        lasts: int | None = None,
        every: int = 1,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
        call: Callable[[], None] = lambda: None,
    ) -> None:
        if fault not in ROBOT_FAULTS:
            raise ConfigError(unknown("fault", fault, ROBOT_FAULTS))
        self._robot, self._fault, self._when = robot, fault, When(at, lasts, every)
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
        """As inside."""
        self._robot.connect()

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """As inside."""
        return self._robot.stop_path

    def arm(self) -> None:
        """As inside."""
        self._robot.arm()

    def reset(self) -> None:
        """As inside, or never."""
        if self._shows("reset-blocks"):
            if monitor := getattr(self._robot, "monitor", None):
                monitor.resetting()  # a robot that hangs in its reset expects no action
            self._pause(60)
        self._robot.reset()

    def read(self) -> Reading:
        """As inside, or spoilt."""
        self._fail_if("disconnects", "read-raises")
        if self._shows("call"):
            self._call()
        if self._shows("read-late"):
            self._pause(1.5 * self._period_s)
        reading = self._spoilt(self._robot.read())
        self.readings += 1
        return reading

    def write(self, action: Action) -> Action:
        """As inside, or never."""
        self.readings -= 1  # it belongs to the reading before
        try:
            self._fail_if("disconnects", "write-raises")
            if self._shows("write-late"):
                self._pause(1.5 * self._period_s)
            applied = self._robot.write(action)
            return applied * np.float32(np.nan) if self._shows("applied-nan") else applied
        finally:
            self.readings += 1

    def stop(self) -> None:
        """As inside, or never."""
        if self.injected_ns is not None and self.stopped_ns is None:
            self.stopped_ns = self._clock.now_ns()
        if self._fault == "disconnects" and self.injected_ns is not None:
            raise OSError("no route to the robot")
        self._robot.stop()

    def close(self) -> None:
        """As inside."""
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
        if self._fault in _ELSEWHERE or not self._shows(self._fault):
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
                if self._fault == "stuck":  # sensors of a robot that stands still are noisy all the same
                    observation += np.float32(next(self._jitter))
            case "reward-nan":
                changes["reward"] = math.nan
            case "reward-missing":
                changes["reward_valid"] = False
            case "reward-bounds":
                changes["reward"] = self.task.reward.high + 1 + abs(self.task.reward.high)
        return replace(reading, observation=observation, **changes)
