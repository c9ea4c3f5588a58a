"""The guard's eye: is what a robot shows fit to be acted on?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import ContinuousAction, TaskSpec

#: Share of a range by which float32 arithmetic may pass a bound without being a fault.
ROUNDING = 1e-6


class Observed:
    """Checks of observations, rewards and their stamps.

    Args:
        task: bounds, ages, and what measures an action.
        settings: of the guard.
        lockstep: whether the robot's time stands still between two actions.
    """

    def __init__(self, task: TaskSpec, settings: GuardSettings, lockstep: bool) -> None:
        self._longest_age_ns = round(settings.age_s(task) * NS_PER_S)
        self._shape = (len(task.observation),)
        low = np.array([element.low for element in task.observation])
        high = np.array([element.high for element in task.observation])
        slack = ROUNDING * np.maximum(np.abs(low), np.abs(high))
        self._low, self._high = low - slack, high + slack
        self._least, self._most = low + slack, high - slack
        self._reward = task.reward
        self._reward_slack = ROUNDING * max(abs(task.reward.low), abs(task.reward.high))
        # Whole numbers rightly stay what they are, and so does all that a robot in lockstep shows.
        self._noisy = np.array([element.levels is None for element in task.observation])
        watched = settings.frozen_s is not None and not lockstep and bool(self._noisy.any())
        self._frozen_ns = round((settings.frozen_s or 0.0) * NS_PER_S) if watched else None
        self._last: NDArray[np.float32] | None = None
        self._unchanged_since_ns = 0
        self._newest_stamp_ns = 0
        self._measured: NDArray[np.intp] | None = None
        self._offset = np.zeros(task.action.size)
        if isinstance(task.action, ContinuousAction) and task.action.measured_as and task.action.reference != "delta":
            names = [element.name for element in task.observation]
            self._measured = np.array([names.index(name) for name in task.action.measured_as])
            if task.action.mode == "position" and task.action.default_pose:
                self._offset = np.array(task.action.default_pose)

    @property
    def measures_actions(self) -> bool:
        """Whether an observation tells where the robot is in terms of its actions."""
        return self._measured is not None

    def start_episode(self) -> None:
        """The robot was reset: what it shows may rightly be what it showed before."""
        self._last = None

    def check(self, reading: Reading, now_ns: int) -> Fault | None:
        """The first thing that is wrong with an observation."""
        observation = reading.observation
        if observation.shape != self._shape:
            return Fault.OBSERVATION_SHAPE
        if not np.isfinite(observation).all():
            return Fault.OBSERVATION_NOT_FINITE
        if (observation < self._low).any() or (observation > self._high).any():
            return Fault.OBSERVATION_OUT_OF_BOUNDS
        if abs(now_ns - reading.stamp_ns) > self._longest_age_ns:  # a stamp from the future says nothing about the age
            return Fault.OBSERVATION_STALE
        if reading.stamp_ns < self._newest_stamp_ns:
            return Fault.CLOCK_STEPPED_BACK
        self._newest_stamp_ns = reading.stamp_ns
        return Fault.OBSERVATION_FROZEN if self._frozen_ns is not None and self._is_frozen(reading) else None

    def check_reward(self, reading: Reading) -> Fault | None:
        """What is wrong with a reward."""
        if not reading.reward_valid:
            return Fault.REWARD_MISSING
        if not np.isfinite(reading.reward):
            return Fault.REWARD_NOT_FINITE
        low, high = self._reward.low - self._reward_slack, self._reward.high + self._reward_slack
        if not low <= reading.reward <= high:
            return Fault.REWARD_OUT_OF_BOUNDS
        return None

    def is_too_old(self, stamp_ns: int, now_ns: int, more_ns: int) -> bool:
        """Whether what was measured at ``stamp_ns`` is over the age limit, and ``more_ns`` above it."""
        return now_ns - stamp_ns > self._longest_age_ns + more_ns

    def as_action(self, observation: NDArray[Any]) -> Action | None:
        """Where the robot is, ``[A]`` in terms of its actions; None where no observation tells."""
        return None if self._measured is None else observation[self._measured] - self._offset

    def _is_frozen(self, reading: Reading) -> bool:
        observation = reading.observation
        if self._last is None or not np.array_equal(observation, self._last):
            self._last, self._unchanged_since_ns = observation, reading.stamp_ns
            return False
        if self._frozen_ns is None or reading.stamp_ns - self._unchanged_since_ns < self._frozen_ns:
            return False
        at_an_end = (observation <= self._least) | (observation >= self._most)  # an end stop holds it there
        return bool((self._noisy & ~at_an_end).any())
