"""Detects faults of a policy's proposal, and that too many proposals in a row were wrong or had to be clamped."""

from __future__ import annotations

import numpy as np

from dmh_edge.clock import NS_PER_S
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.action_limits import ActionLimits
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import DiscreteAction, TaskSpec


class ProposalDetector:
    """Checks proposed actions and the state proposed with them.

    Args:
        task: task with the choices of a discrete action.
        settings: settings that say when an action has exploded, and how many wrong or clamped proposals in a row are
            too many.
        limits: limits of a continuous action.
        period_ns: control period in nanoseconds, which is the duration of a clamped step.
    """

    def __init__(self, task: TaskSpec, settings: GuardSettings, limits: ActionLimits, period_ns: int) -> None:
        self._settings, self._limits, self._period_ns = settings, limits, period_ns
        self._choices = task.action.size if isinstance(task.action, DiscreteAction) else None
        self._in_a_row = 0
        self._clamped_ns = 0

    def check(self, action: Action, everything_is_finite: bool) -> Fault | None:
        """The fault for which a proposal cannot be used; None if it can. A continuous action can, and is clamped later.

        Args:
            action: the action as the policy wishes it, ``[A]`` or ``[]``.
            everything_is_finite: whether the rest of the proposal, state included, is finite.
        """
        if fault := self._unusable(action, everything_is_finite):
            self._in_a_row += 1
            return fault
        self._in_a_row = 0
        if self._choices is not None and not 0 <= int(action) < self._choices:
            return Fault.ACTION_OUT_OF_BOUNDS
        return None

    def check_limits(self, action: Action, limited: Action) -> list[Fault]:
        """The limits that a continuous action exceeded, as faults.

        Args:
            action: the action before it was limited, ``[A]``.
            limited: the action after it was limited, ``[A]``.
        """
        out_of_bounds, too_fast = self._limits.exceeded(action, limited)
        self._clamped_ns = self._clamped_ns + self._period_ns if out_of_bounds or too_fast else 0
        seen = ((Fault.ACTION_OUT_OF_BOUNDS, out_of_bounds), (Fault.ACTION_TOO_FAST, too_fast))
        return [fault for fault, is_seen in seen if is_seen]

    def too_many_in_a_row(self, fault: Fault) -> str:
        """Why there were too many unusable proposals in a row, in words; empty if there were not too many."""
        if self._in_a_row < self._settings.bad_proposals:
            return ""
        return f"{fault.value}, for the {self._in_a_row}. time in a row"

    def clamped_too_long(self) -> str:
        """Why steps have been clamped for too long, in words; empty if they have not."""
        if self._clamped_ns <= self._settings.longest_clamp_s * NS_PER_S:
            return ""
        return (
            f"every step for {self._clamped_ns / NS_PER_S:g} s, limit {self._settings.longest_clamp_s:g} s; "
            "does the policy belong to this robot?"
        )

    def _unusable(self, action: Action, everything_is_finite: bool) -> Fault | None:
        if not np.isfinite(action).all():
            return Fault.ACTION_NOT_FINITE
        if not everything_is_finite:
            return Fault.STATE_NOT_FINITE
        if self._choices is None and np.abs(action).max() > self._settings.exploded * self._limits.largest:
            return Fault.ACTION_EXPLODED
        return None
