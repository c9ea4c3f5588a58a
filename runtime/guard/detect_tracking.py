"""Detects that a robot does not follow its actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import ContinuousAction, TaskSpec, bounds_of, measuring_elements


class TrackingDetector:
    """Measures where a robot is, in terms of its actions, and compares that with the applied action.

    Args:
        task: task that says which observation elements measure the action.
        settings: settings with the largest tracking error, and with how long it may last.

    Attributes:
        measures_actions: whether observations show where the robot is in terms of its actions.
    """

    def __init__(self, task: TaskSpec, settings: GuardSettings) -> None:
        self._index = measuring_elements(task)
        self._offset = np.zeros(task.action.size)
        self._farthest: NDArray[Any] | None = None
        self._longest_ns = settings.tracking_s * NS_PER_S
        self._off_since_ns: int | None = None
        self.measures_actions = False
        action = task.action
        if not isinstance(action, ContinuousAction) or not action.measured_as or action.reference == "delta":
            return
        self.measures_actions = True
        if action.mode == "position" and action.default_pose:
            self._offset = np.array(action.default_pose)
        share = settings.tracking_share(task)
        self._farthest = None if share is None else share * bounds_of(action.elements).span

    def start_episode(self) -> None:
        """Begin an episode: the actions before the reset do not say where the robot must be now."""
        self._off_since_ns = None

    def measure(self, observation: NDArray[Any]) -> Action | None:
        """Where the robot is in terms of its actions, ``[A]``; None where no observation element measures that."""
        return observation[self._index] - self._offset if self.measures_actions else None

    def off_too_long(self, where: Action, told: Action, stamp_ns: int) -> str:
        """Why the robot has been off for too long, in words; empty while it has not.

        Args:
            where: where the robot is, as `measure` returns it, ``[A]``.
            told: the last applied action, ``[A]``.
            stamp_ns: when the observation was measured, in nanoseconds.
        """
        if self._farthest is None:
            return ""
        if not (np.abs(where - told) > self._farthest).any():
            self._off_since_ns = None
        elif self._off_since_ns is None:
            self._off_since_ns = stamp_ns
        if self._off_since_ns is None or stamp_ns - self._off_since_ns < self._longest_ns:
            return ""
        seconds = (stamp_ns - self._off_since_ns) / NS_PER_S
        return f"told {told.tolist()}, measured {np.asarray(where).tolist()} for {seconds:g} s"
