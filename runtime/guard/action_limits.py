"""The limits of every action that is written to a robot: bounds, slew and ramp-in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S
from dmh_edge.errors import RobotError
from dmh_edge.robots.protocol import Action
from dmh_edge.task import Bounds, ContinuousAction, TaskSpec, bounds_of, safe_action


class ActionLimits:
    """Limits of one robot's actions. They move with the last applied action.

    Args:
        task: task with the bounds and slew limits.
        period_ns: control period in nanoseconds.
        lockstep: whether the robot's time stands still between two actions; each then lasts one period of the task.
        ramp_ns: time in which the policy's influence grows from none to full, in nanoseconds.

    Attributes:
        continuous: whether actions are numbers within bounds, not choices.
        safe: the task's safe action.
        largest: size of the largest bound; only for continuous actions.
        standing: the action that leaves the robot where its reset left it.
        last: the last applied action.
    """

    def __init__(self, task: TaskSpec, period_ns: int, lockstep: bool, ramp_ns: int) -> None:
        self._lockstep = lockstep
        self._longest_ns = round(NS_PER_S / task.rate_hz) if lockstep else period_ns  # longest duration of an action
        self._ramp_ns = ramp_ns
        self._ramp_began_ns: int | None = None
        self.continuous = isinstance(task.action, ContinuousAction)
        self.safe: Action = safe_action(task)
        if isinstance(task.action, ContinuousAction):
            exact = bounds_of(task.action.elements)
            bounds = _inward(exact)
            self._low, self._high = bounds
            self._span = exact.span
            self._slack = bounds.rounding
            self.largest = float(np.maximum(np.abs(self._low), np.abs(self._high)).max())
            self._slew = np.array([element.slew_per_s or 0.0 for element in task.action.elements])
            self._leaps = np.array([element.slew_per_s is None for element in task.action.elements])
            self._slews = not self._leaps.all()
        else:
            self._choices = task.action.size
        self.standing: Action = self.safe
        self.last: Action = self.safe
        self._last_write_ns: int | None = None

    def stand(self, where: Action | None, slot_ns: int) -> None:
        """Note where the robot stands after its reset.

        Args:
            where: the action that corresponds to where the robot stands, ``[A]``; None for its safe action.
            slot_ns: when the first slot begins, in nanoseconds.
        """
        self.standing = self.safe if where is None else np.minimum(np.maximum(where, self._low), self._high)
        self.last, self._last_write_ns = self.standing, None
        if self._ramp_began_ns is None:
            self._ramp_began_ns = slot_ns

    def ramped(self, action: Action, now_ns: int) -> Action:
        """Scale the policy's action by how far its influence has grown since the robot was armed."""
        if not self._ramp_ns or self._ramp_began_ns is None:
            return action
        share = (now_ns - self._ramp_began_ns) / self._ramp_ns
        if share >= 1:
            self._ramp_ns = 0
            return action
        ramped: Action = (self.standing + np.float32(share) * (action - self.standing)).astype(np.float32)
        return ramped

    def limit(self, action: Action, now_ns: int) -> Action:
        """Limit an action: inside its bounds, and not further from the last action than the slew limit allows.

        Args:
            action: the action, finite, ``[A]`` or ``[]``.
            now_ns: time just before the action is written.

        Returns:
            the action that may be written, as a new array.
        """
        if not self.continuous:
            return np.array(action, np.int64)
        low, high = self._low, self._high
        if self._slews:
            reach = self._reach(now_ns)
            low = np.maximum(low, self.last - reach)
            high = np.minimum(high, self.last + reach)
        limited: Action = np.minimum(np.maximum(action, low), high).astype(np.float32)
        return limited

    def exceeded(self, action: Action, limited: Action) -> tuple[bool, bool]:
        """Whether a continuous action was out of bounds, and whether it was over its slew limit."""
        if not (np.abs(limited - action) > self._slack).any():
            return False, False
        inside = np.minimum(np.maximum(action, self._low), self._high)
        return bool((np.abs(inside - action) > self._slack).any()), bool((np.abs(limited - inside) > self._slack).any())

    def check_applied(self, applied: Action) -> None:
        """Refuse an applied action that cannot be true, because the policy learns from it.

        A robot can report what it measured. That can be out of bounds, but at most by the distance between the bounds.

        Args:
            applied: the applied action as the robot reports it, ``[A]`` or ``[]``.

        Raises:
            RobotError: it has another shape, is not finite, is far out of bounds, or is not one of the choices.
        """
        if getattr(applied, "shape", None) != self.safe.shape or not np.isfinite(applied).all():
            raise RobotError(f"write: got {applied!r} as the applied action, expected an array like {self.safe!r}")
        if not self.continuous:
            if not 0 <= applied < self._choices:
                raise RobotError(
                    f"write: got {applied!r} as the applied action, expected one of {self._choices} choices"
                )
        elif ((applied < self._low - self._span) | (applied > self._high + self._span)).any():
            raise RobotError(
                f"write: got {applied!r} as the applied action, far outside of its bounds {self._low.tolist()} to "
                f"{self._high.tolist()}"
            )

    def wrote(self, applied: Action, now_ns: int) -> None:
        """Move the limits to an applied action, brought inside its bounds, so that some next action is allowed."""
        self.last = np.minimum(np.maximum(applied, self._low), self._high) if self.continuous else applied
        self._last_write_ns = now_ns

    def _reach(self, now_ns: int) -> NDArray[np.float64]:
        """How far an action may be from the last one, ``[A]``. A skipped slot does not allow a larger step."""
        since_ns = self._longest_ns
        if self._last_write_ns is not None and not self._lockstep:
            since_ns = now_ns - self._last_write_ns
        return np.where(self._leaps, np.inf, self._slew * (min(since_ns, self._longest_ns) / NS_PER_S))


def _inward(bounds: Bounds) -> Bounds:
    """Bounds ``[A]`` in float32, rounded inward: a float32 action within them is also within the exact bounds."""
    low, high = bounds
    low32, high32 = low.astype(np.float32), high.astype(np.float32)
    return Bounds(
        np.where(low32 < low, np.nextafter(low32, np.float32(np.inf)), low32),
        np.where(high32 > high, np.nextafter(high32, np.float32(-np.inf)), high32),
    )
