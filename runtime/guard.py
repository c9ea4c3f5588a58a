"""The guard stands between robot and policy, in both directions, and acts by the table in `runtime.faults`.

It checks what the robot shows and what the policy proposes, and every action that is written - proposed, held or safe -
passes `Guard.limit`: there is no other way to the robot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S
from dmh_edge.contract import ContinuousAction, Element, TaskSpec
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.faults import MOST_PROPOSALS_NOT_FINITE, TABLE, Fault, Response, mode_of

#: Share of a range by which float32 arithmetic may pass a bound without being a fault.
_ROUNDING = 1e-6


class SafeStop(Exception):
    """The guard demands that the robot be stopped now; the message says why."""


class Guard:
    """Checks and limits for one robot.

    Args:
        task: bounds, slew limits, ages and the longest hold.
        period_ns: of the control loop.
        lockstep: whether the robot's time stands still between two actions; each then lasts one
            period of the task, at whatever rate the loop runs.

    Attributes:
        counts: how often each fault was seen.
    """

    def __init__(self, task: TaskSpec, period_ns: int, lockstep: bool) -> None:
        self.counts: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._mode = mode_of(task)
        self._period_ns = period_ns
        self._lockstep = lockstep
        self._action_delay = task.action_delay
        self._slew_ns = round(NS_PER_S / task.rate_hz) if lockstep else period_ns  # longest time that an action lasts
        self._longest_hold_ns = round(task.max_hold_s * NS_PER_S)
        self._longest_age_ns = round(task.max_observation_age_s * NS_PER_S)
        self._shape = (len(task.observation),)
        self._seen_low, self._seen_high = _bounds(task.observation, slack=_ROUNDING)
        self._reward = task.reward
        self._reward_slack = _ROUNDING * max(abs(task.reward.low), abs(task.reward.high))
        self._proposals_not_finite = 0
        self._last_step_ns = 0
        if isinstance(task.action, ContinuousAction):
            self._safe: Action = np.array(task.action.safe, np.float32)
            self._low, self._high = _bounds(task.action.elements, slack=0.0)
            self._slew = np.array([element.slew_per_s or 0.0 for element in task.action.elements])
            self._leaps = np.array([element.slew_per_s is None for element in task.action.elements])
            self._slews = not self._leaps.all()
            self._slack = _ROUNDING * np.maximum(np.abs(self._low), np.abs(self._high))
        else:
            self._safe = np.array(task.action.safe, np.int64)
            self._choices = task.action.size
        self._last_step: Action | None = None
        self._last_applied = self._safe
        self._last_write_ns: int | None = None

    @property
    def safe_action(self) -> Action:
        """The task's safe action."""
        return np.array(self._safe)

    def start_episode(self, slot_ns: int) -> None:
        """The robot was reset: it stands at its safe action, and there is nothing to hold.

        Args:
            slot_ns: when the first slot begins.
        """
        self._last_step = None
        self._last_step_ns = slot_ns - self._period_ns
        self._last_applied, self._last_write_ns = self._safe, None

    def check_observation(self, reading: Reading, now_ns: int) -> Fault | None:
        """The first thing that is wrong with an observation."""
        observation = reading.observation
        if observation.shape != self._shape:
            return self._count(Fault.OBSERVATION_SHAPE)
        if not np.isfinite(observation).all():
            return self._count(Fault.OBSERVATION_NOT_FINITE)
        if (observation < self._seen_low).any() or (observation > self._seen_high).any():
            return self._count(Fault.OBSERVATION_OUT_OF_BOUNDS)
        if abs(now_ns - reading.stamp_ns) > self._longest_age_ns:  # a stamp from the future says nothing about the age
            return self._count(Fault.OBSERVATION_STALE)
        return None

    def check_age(self, stamp_ns: int, now_ns: int) -> Fault | None:
        """Whether an action may still be written that answers what was measured at ``stamp_ns``.

        Computing it took time, and under an action delay it waited for its slot.
        """
        longest_ns = self._longest_age_ns + self._action_delay * self._period_ns
        return self._count(Fault.OBSERVATION_STALE) if now_ns - stamp_ns > longest_ns else None

    def check_reward(self, reading: Reading) -> Fault | None:
        """What is wrong with a reward."""
        if not reading.reward_valid:
            return self._count(Fault.REWARD_MISSING)
        if not np.isfinite(reading.reward):
            return self._count(Fault.REWARD_NOT_FINITE)
        low, high = self._reward.low - self._reward_slack, self._reward.high + self._reward_slack
        if not low <= reading.reward <= high:
            return self._count(Fault.REWARD_OUT_OF_BOUNDS)
        return None

    def check_proposal(self, action: Action, everything_is_finite: bool) -> Fault | None:
        """What keeps a proposal from being taken. Limits on a continuous action do not: they are `limit`'s.

        Args:
            action: ``[A]`` or ``[]``, as the policy wishes it.
            everything_is_finite: whether the rest of the proposal, state included, is.
        """
        if not np.isfinite(action).all():
            self._proposals_not_finite += 1
            return self._count(Fault.ACTION_NOT_FINITE)
        if not everything_is_finite:
            self._proposals_not_finite += 1
            return self._count(Fault.STATE_NOT_FINITE)
        self._proposals_not_finite = 0
        if self._mode == "discrete" and not 0 <= int(action) < self._choices:
            return self._count(Fault.ACTION_OUT_OF_BOUNDS)
        return None

    def limit_proposal(self, action: Action, now_ns: int) -> Action:
        """`limit` for the policy's own action: what had to be changed is counted as a fault."""
        limited = self.limit(action, now_ns)
        if self._mode != "discrete" and (np.abs(limited - action) > self._slack).any():
            inside = np.minimum(np.maximum(action, self._low), self._high)
            if (np.abs(inside - action) > self._slack).any():
                self._count(Fault.ACTION_OUT_OF_BOUNDS)
            if (np.abs(limited - inside) > self._slack).any():
                self._count(Fault.ACTION_TOO_FAST)
        return limited

    def limit(self, action: Action, now_ns: int) -> Action:
        """The action as it may be written: inside its bounds, and no further from the last one than the slew allows.

        Args:
            action: ``[A]`` or ``[]``, finite.
            now_ns: just before it is written.

        Returns:
            a new array.
        """
        if self._mode == "discrete":
            return np.array(action, np.int64)
        low, high = self._low, self._high
        if self._slews:
            reach = self._reach(now_ns)
            low = np.maximum(low, self._last_applied - reach)
            high = np.minimum(high, self._last_applied + reach)
        limited: Action = np.minimum(np.maximum(action, low), high).astype(np.float32)
        return limited

    def without_step(self, fault: Fault, slot_ns: int, now_ns: int) -> Action:
        """The action for a slot in which the policy takes no step.

        Args:
            fault: why it takes none.
            slot_ns: when the slot began.
            now_ns: just before the action is written.

        Raises:
            SafeStop: there is none, or it has been so for too long.
        """
        response = TABLE[fault][self._mode]
        if response is Response.STOP:
            raise SafeStop(fault.value)
        if self._proposals_not_finite >= MOST_PROPOSALS_NOT_FINITE:
            raise SafeStop(f"{fault.value}, for the {self._proposals_not_finite}. time in a row")
        idle_ns = slot_ns - self._last_step_ns
        if idle_ns > self._longest_hold_ns:
            raise SafeStop(
                f"{fault.value}; the policy's last step was {idle_ns / NS_PER_S:g} s ago, "
                f"longest hold {self._longest_hold_ns / NS_PER_S:g} s"
            )
        if self._last_step is None or response is Response.SAFE:
            return self.limit(self._safe, now_ns)
        if response is Response.RAMP:
            return self.limit(self._last_step * np.float32(1 - idle_ns / self._longest_hold_ns), now_ns)
        return self.limit(self._last_step, now_ns)

    def wrote(self, applied: Action, now_ns: int) -> None:
        """An action was applied.

        Args:
            applied: as the robot says.
            now_ns: just after it was written, so that the time until the next one is never taken for longer than it is.
        """
        if self._mode != "discrete":  # a robot may say what it measured; the window of `limit` must not be empty
            applied = np.minimum(np.maximum(applied, self._low), self._high)
        self._last_applied, self._last_write_ns = applied, now_ns

    def stepped(self, slot_ns: int) -> None:
        """The action applied last was a step of the policy.

        Args:
            slot_ns: when the slot began in which it was written.
        """
        self._last_step, self._last_step_ns = self._last_applied, slot_ns

    def _reach(self, now_ns: int) -> NDArray[np.float64]:
        """How far ``[A]`` an action may be from the last one. A skipped slot does not allow a wider leap."""
        since_ns = self._slew_ns
        if self._last_write_ns is not None and not self._lockstep:
            since_ns = now_ns - self._last_write_ns
        return np.where(self._leaps, np.inf, self._slew * (min(since_ns, self._slew_ns) / NS_PER_S))

    def _count(self, fault: Fault) -> Fault:
        self.counts[fault] += 1
        return fault


def _bounds(elements: tuple[Element, ...], slack: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lows and highs ``[N]``; without slack in float32, rounded inward: a float32 action then keeps the exact ones."""
    low = np.array([element.low for element in elements])
    high = np.array([element.high for element in elements])
    wider = slack * np.maximum(np.abs(low), np.abs(high))
    if slack:
        return low - wider, high + wider
    low32, high32 = low.astype(np.float32), high.astype(np.float32)
    return (
        np.where(low32 < low, np.nextafter(low32, np.float32(np.inf)), low32),
        np.where(high32 > high, np.nextafter(high32, np.float32(-np.inf)), high32),
    )
