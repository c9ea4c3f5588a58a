"""The guard stands between robot and policy, in both directions, and acts by the table in `runtime.guard.faults`.

Beside it `observed` judges what the robot shows, `punctuality` when, and `applied` limits what is written. Every
action - proposed, held, ramped or safe - passes `Guard.limit`: there is no other way to the robot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from dmh_edge.clock import NS_PER_S, Slot
from dmh_edge.errors import ConfigError
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.applied import Applied
from dmh_edge.runtime.guard.faults import ROW, Fault, Response, mode_of
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.guard.observed import Observed
from dmh_edge.runtime.guard.punctuality import Punctuality
from dmh_edge.task import TaskSpec


class SafeStop(BaseException):
    """The guard demands that the robot be stopped now; the message says why.

    Not an ``Exception``: it may be raised in the middle of a reset, and no robot's own error handling may swallow it.
    """


class Guard:
    """Checks and limits for one robot.

    Args:
        task: bounds, slew limits, ages and the longest hold.
        period_ns: of the control loop.
        lockstep: whether the robot's time stands still between two actions; each then lasts one period of the task, at
            whatever rate the loop runs, and lateness harms nobody.
        settings: what it does beyond the contract's limits.
        simulated: whether the robot can hurt nobody.
        damps: whether the robot can damp itself.
        note: told of each fault as it is seen.

    Attributes:
        settings: as given.
        counts: how often each fault was seen.

    Raises:
        ConfigError: the task does not bear a setting.
    """

    def __init__(
        self,
        task: TaskSpec,
        period_ns: int,
        lockstep: bool,
        settings: GuardSettings | None = None,
        *,
        simulated: bool = True,
        damps: bool = False,
        note: Callable[[Fault], None] | None = None,
    ) -> None:
        settings = GuardSettings() if settings is None else settings
        self.counts: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self.settings, self._note = settings, note
        self._responses = settings.responses(task)
        self._damps = damps
        if not damps and any(getattr(settings, row) is Response.DAMP for row in self._responses):
            raise ConfigError("guard setting: got 'damp', but the robot cannot damp itself (it has no `damp`)")
        self._observed = Observed(task, settings, lockstep)
        self._discrete = mode_of(task) == "discrete"
        self._needs_pose = mode_of(task) == "position" and self._observed.measures_actions
        self._period_ns, self._lockstep, self._action_delay = period_ns, lockstep, task.action_delay
        self._choices = task.action.size
        self._punctuality = Punctuality(settings, period_ns)
        self._longest_hold_ns = round(settings.hold_s(task) * NS_PER_S)
        ramp_ns = round(settings.ramp_in_s(task, simulated) * NS_PER_S)
        self._applied = Applied(task, period_ns, lockstep, ramp_ns)
        tracking = settings.tracking_share(task) if self._observed.measures_actions else None
        self._farthest = None if tracking is None else tracking * self._applied.span
        self._off_since_ns: int | None = None
        self._late_already = False  # counted in the slot under way
        self._bad_proposals = 0
        self._clamped_ns = 0
        self._measured = False  # where the robot stands, since the episode began
        self._written = False  # anything, since the episode began
        self._last_step: Action | None = None
        self._last_step_ns = 0

    @property
    def safe_action(self) -> Action:
        """The task's safe action."""
        return np.array(self._applied.safe)

    def standing(self, now_ns: int) -> Action:
        """The action that leaves the robot where its reset left it.

        Raises:
            SafeStop: a position target would be needed, and nobody has measured where the robot is.
        """
        if self._needs_pose and not self._measured:
            self.stop(Fault.POSE_UNKNOWN, "there is no place to hold before the first good observation")
        return self.limit(self._applied.standing, now_ns)

    def start_episode(self, slot_ns: int) -> None:
        """The robot was reset: it stands at its safe action until it is measured, and there is nothing to hold.

        Args:
            slot_ns: when the first slot begins.
        """
        self._last_step, self._last_step_ns = None, slot_ns - self._period_ns
        self._measured = self._written = False
        self._off_since_ns = None
        self._observed.start_episode()
        self._applied.stand(None, slot_ns)

    def begin_slot(self, slot: Slot) -> None:
        """A slot begins; those that were skipped before it were late, and the robot went on with its last action.

        Raises:
            SafeStop: it did so for too long.
        """
        self._late_already = False
        if self._lockstep or not slot.skipped:
            return
        self._punctuality.skip(slot.skipped)
        self._refuse_long_hold(Fault.LATE, slot.start_ns - self._period_ns)

    def end_slot(self, slot_ns: int, now_ns: int) -> None:
        """A slot is over.

        Raises:
            SafeStop: too many of the last ones were late.
        """
        self._punctuality.end_slot(late=self.check_late(slot_ns, now_ns) is not None)
        if complaint := self._punctuality.complaint:
            self.stop(Fault.LATE_TOO_OFTEN, complaint)

    def check_late(self, slot_ns: int, now_ns: int) -> Fault | None:
        """Whether the slot's action is over its budget; a slot is counted once."""
        if self._lockstep or not self._punctuality.is_over(slot_ns, now_ns):
            return None
        if not self._late_already:
            self._late_already = True
            self.count(Fault.LATE)
        return Fault.LATE

    def check_observation(self, reading: Reading, now_ns: int) -> Fault | None:
        """The first thing that is wrong with an observation.

        Raises:
            SafeStop: the robot is not where it was told to be, and has not been for too long.
        """
        if fault := self._observed.check(reading, now_ns):
            return self.count(fault)
        where = self._observed.as_action(reading.observation)
        if where is not None:
            if not self._measured and not self._written:
                self._applied.stand(where, now_ns)
                self._measured = True
            elif self._farthest is not None:
                self._check_tracking(where, reading.stamp_ns)
        return None

    def check_age(self, stamp_ns: int, now_ns: int) -> Fault | None:
        """Whether an action may still be written that answers what was measured at ``stamp_ns``.

        Computing it took time, and under an action delay it waited for its slot.
        """
        old = self._observed.is_too_old(stamp_ns, now_ns, self._action_delay * self._period_ns)
        return self.count(Fault.OBSERVATION_STALE) if old else None

    def check_reward(self, reading: Reading) -> Fault | None:
        """What is wrong with a reward."""
        fault = self._observed.check_reward(reading)
        return fault and self.count(fault)

    def check_proposal(self, action: Action, everything_is_finite: bool) -> Fault | None:
        """What keeps a proposal from being taken. Limits on a continuous action do not: they are `limit`'s.

        Args:
            action: ``[A]`` or ``[]``, as the policy wishes it.
            everything_is_finite: whether the rest of the proposal, state included, is.
        """
        if fault := self._bad(action, everything_is_finite):
            self._bad_proposals += 1
            return self.count(fault)
        self._bad_proposals = 0
        if self._discrete and not 0 <= int(action) < self._choices:
            return self.count(Fault.ACTION_OUT_OF_BOUNDS)
        return None

    def limit_proposal(self, action: Action, now_ns: int) -> Action:
        """`limit` for the policy's own action: what had to be changed is counted as a fault.

        Raises:
            SafeStop: it had to be changed for too long, or at all where the robot bears no clamping.
        """
        if self._discrete:
            return self.limit(action, now_ns)
        action = self._applied.ramped(action, now_ns)
        limited = self.limit(action, now_ns)
        out_of_bounds, too_fast = self._applied.violations(action, limited)
        if not (out_of_bounds or too_fast):
            self._clamped_ns = 0
            return limited
        for fault, seen in ((Fault.ACTION_OUT_OF_BOUNDS, out_of_bounds), (Fault.ACTION_TOO_FAST, too_fast)):
            if seen:
                self.count(fault)
                if self._responses["limits"] is Response.STOP:
                    raise SafeStop(fault.value)
        self._clamped_ns += self._period_ns
        if self._clamped_ns > self.settings.longest_clamp_s * NS_PER_S:
            self.stop(
                Fault.CLAMPED_TOO_LONG,
                f"every step for {self._clamped_ns / NS_PER_S:g} s, limit {self.settings.longest_clamp_s:g} s; "
                "does the policy belong to this robot?",
            )
        return limited

    def limit(self, action: Action, now_ns: int) -> Action:
        """The action as it may be written: inside its bounds, and no further from the last one than the slew allows.

        Args:
            action: ``[A]`` or ``[]``, finite.
            now_ns: just before it is written.

        Returns:
            a new array.
        """
        return self._applied.limit(action, now_ns)

    def without_step(self, fault: Fault, slot_ns: int, now_ns: int) -> Action | None:
        """The action for a slot in which the policy takes no step.

        Args:
            fault: why it takes none.
            slot_ns: when the slot began.
            now_ns: just before the action is written.

        Returns:
            the action; None where the robot is to damp itself instead.

        Raises:
            SafeStop: there is none, or it has been so for too long.
        """
        response = self._responses[ROW[fault]]
        if response is Response.STOP or (response is Response.DAMP and not self._damps):
            raise SafeStop(fault.value)
        if self._bad_proposals >= self.settings.bad_proposals:
            self.stop(Fault.BAD_PROPOSALS, f"{fault.value}, for the {self._bad_proposals}. time in a row")
        # A slot that is over before its action is ready was held through to the one in which it is.
        over_ns = 0 if self._lockstep else max(0, now_ns - slot_ns) // self._period_ns * self._period_ns
        idle_ns = self._refuse_long_hold(fault, slot_ns + over_ns)
        if response is Response.DAMP:
            return None
        if response is Response.SAFE:
            return self.limit(self._applied.safe, now_ns)
        if self._last_step is None:
            return self.standing(now_ns)
        if response is Response.RAMP:
            return self.limit(self._last_step * np.float32(max(0.0, 1 - idle_ns / self._longest_hold_ns)), now_ns)
        return self.limit(self._last_step, now_ns)

    def wrote(self, applied: Action, now_ns: int) -> None:
        """An action was applied.

        Args:
            applied: as the robot says.
            now_ns: just after it was written, so that the time until the next one is never taken for longer than it is.

        Raises:
            RobotError: it can have applied no such thing.
        """
        self._applied.check(applied)
        self._written = True
        self._applied.wrote(applied, now_ns)

    def damped(self, now_ns: int) -> None:
        """The robot damped itself: it goes on from its safe action."""
        self.wrote(self._applied.safe, now_ns)

    def stepped(self, slot_ns: int) -> None:
        """The action applied last was a step of the policy.

        Args:
            slot_ns: when the slot began in which it was written.
        """
        self._last_step, self._last_step_ns = self._applied.last, slot_ns

    def stop(self, fault: Fault, detail: str) -> NoReturn:
        """Count a fault that ends the run.

        Raises:
            SafeStop: always.
        """
        self.count(fault)
        raise SafeStop(f"{fault.value}: {detail}")

    def count(self, fault: Fault) -> Fault:
        """A fault was seen, here or by somebody else."""
        self.counts[fault] += 1
        if self._note:
            self._note(fault)
        return fault

    def _bad(self, action: Action, everything_is_finite: bool) -> Fault | None:
        if not np.isfinite(action).all():
            return Fault.ACTION_NOT_FINITE
        if not everything_is_finite:
            return Fault.STATE_NOT_FINITE
        if not self._discrete and np.abs(action).max() > self.settings.exploded * self._applied.largest:
            return Fault.ACTION_EXPLODED
        return None

    def _check_tracking(self, where: Action, stamp_ns: int) -> None:
        if not (np.abs(where - self._applied.last) > self._farthest).any():
            self._off_since_ns = None
        elif self._off_since_ns is None:
            self._off_since_ns = stamp_ns
        if self._off_since_ns is not None and stamp_ns - self._off_since_ns >= self.settings.tracking_s * NS_PER_S:
            self.stop(
                Fault.TRACKING,
                f"told {self._applied.last.tolist()}, measured {np.asarray(where).tolist()} "
                f"for {(stamp_ns - self._off_since_ns) / NS_PER_S:g} s",
            )

    def _refuse_long_hold(self, fault: Fault, until_ns: int) -> int:
        """Time since the policy's last step, if the robot bears it."""
        idle_ns = until_ns - self._last_step_ns
        if idle_ns > self._longest_hold_ns:
            self.stop(
                Fault.HELD_TOO_LONG,
                f"{fault.value}; the policy's last step was {idle_ns / NS_PER_S:g} s ago, "
                f"longest hold {self._longest_hold_ns / NS_PER_S:g} s",
            )
        return idle_ns
