"""Detects that the policy has taken no step for too long."""

from __future__ import annotations

from dmh_edge.clock import NS_PER_S
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import TaskSpec


class HoldingDetector:
    """Remembers the policy's last step, and how long ago it was.

    Args:
        task: task with the longest time without a step.
        settings: settings that can shorten this time.

    Attributes:
        last_step: the action applied in the policy's last step of this episode; None before the first step.
    """

    def __init__(self, task: TaskSpec, settings: GuardSettings) -> None:
        self._longest_ns = round(settings.hold_s(task) * NS_PER_S)
        self._last_step_ns = 0
        self.last_step: Action | None = None

    def start_episode(self, before_ns: int) -> None:
        """Begin an episode: there is no last step yet, and the time without a step counts from ``before_ns``."""
        self.last_step, self._last_step_ns = None, before_ns

    def stepped(self, applied: Action, slot_ns: int) -> None:
        """Note that the policy took a step in the slot that began at ``slot_ns``."""
        self.last_step, self._last_step_ns = applied, slot_ns

    def held_too_long(self, fault: Fault, until_ns: int) -> str:
        """Why the time without a step is too long, in words; empty while it is not.

        Args:
            fault: why there is no step.
            until_ns: end of the time without a step, in nanoseconds.
        """
        idle_ns = until_ns - self._last_step_ns
        if idle_ns <= self._longest_ns:
            return ""
        return (
            f"{fault.value}; the policy's last step was {idle_ns / NS_PER_S:g} s ago, "
            f"longest hold {self._longest_ns / NS_PER_S:g} s"
        )

    def share_left(self, until_ns: int) -> float:
        """Share of the longest time without a step that is left, from 1 down to 0: the factor of a ramp."""
        return max(0.0, 1 - (until_ns - self._last_step_ns) / self._longest_ns)
