"""Detects faults of a reading: of its observation, its stamp or its reward."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S
from dmh_edge.robots.protocol import Reading
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import ROUNDING, TaskSpec, bounds_of


class ReadingDetector:
    """Checks observations, stamps and rewards.

    Args:
        task: task with the bounds and the greatest allowed age of an observation.
        settings: settings that can lower this age, and that say after which time unchanged observations are frozen.
        lockstep: whether the robot's time stands still between two actions.
    """

    def __init__(self, task: TaskSpec, settings: GuardSettings, lockstep: bool) -> None:
        self._longest_age_ns = round(settings.age_s(task) * NS_PER_S)
        self._shape = (len(task.observation),)
        bounds = bounds_of(task.observation)
        slack = bounds.rounding
        self._low, self._high = bounds.low - slack, bounds.high + slack
        self._least, self._most = bounds.low + slack, bounds.high - slack
        self._reward = task.reward
        self._reward_slack = ROUNDING * max(abs(task.reward.low), abs(task.reward.high))
        # Elements with levels can stay the same for good reasons, and so can all elements of a robot in lockstep.
        self._noisy = np.array([element.levels is None for element in task.observation])
        watched = settings.frozen_s is not None and not lockstep and bool(self._noisy.any())
        self._frozen_ns = round((settings.frozen_s or 0.0) * NS_PER_S) if watched else None
        self._last: NDArray[np.float32] | None = None
        self._unchanged_since_ns = 0
        self._newest_stamp_ns = 0

    def start_episode(self) -> None:
        """Begin an episode: after a reset, the same observation as before is not a fault."""
        self._last = None

    def check(self, reading: Reading, now_ns: int) -> Fault | None:
        """The first fault of an observation or its stamp; None if both are good."""
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
        """The fault of a reward; None if it is good."""
        if not reading.reward_valid:
            return Fault.REWARD_MISSING
        if not np.isfinite(reading.reward):
            return Fault.REWARD_NOT_FINITE
        low, high = self._reward.low - self._reward_slack, self._reward.high + self._reward_slack
        if not low <= reading.reward <= high:
            return Fault.REWARD_OUT_OF_BOUNDS
        return None

    def check_age(self, stamp_ns: int, now_ns: int, more_ns: int) -> Fault | None:
        """The fault if an observation from ``stamp_ns`` is older than the age limit plus ``more_ns``, else None."""
        return Fault.OBSERVATION_STALE if now_ns - stamp_ns > self._longest_age_ns + more_ns else None

    def _is_frozen(self, reading: Reading) -> bool:
        observation = reading.observation
        if self._last is None or not np.array_equal(observation, self._last):
            self._last, self._unchanged_since_ns = observation, reading.stamp_ns
            return False
        if self._frozen_ns is None or reading.stamp_ns - self._unchanged_since_ns < self._frozen_ns:
            return False
        at_an_end = (observation <= self._least) | (observation >= self._most)  # an end stop can hold the element there
        return bool((self._noisy & ~at_an_end).any())
