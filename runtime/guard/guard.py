"""The guard stands between robot and policy, in both directions. It looks for faults, and responds to them.

    what can be wrong    `faults`
    what finds it        `detect_lateness`, `detect_holding`, `detect_reading`, `detect_proposal`, `detect_tracking`
    what is done         `responses`, a table of fault and control mode
    what is written      `action_limits`

Every action - proposed, held, ramped or safe - passes through `Guard.limit`: there is no other way to the robot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from dmh_edge.clock import NS_PER_S, Slot
from dmh_edge.errors import ConfigError
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.action_limits import ActionLimits
from dmh_edge.runtime.guard.detect_holding import HoldingDetector
from dmh_edge.runtime.guard.detect_lateness import LatenessDetector
from dmh_edge.runtime.guard.detect_proposal import ProposalDetector
from dmh_edge.runtime.guard.detect_reading import ReadingDetector
from dmh_edge.runtime.guard.detect_tracking import TrackingDetector
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.guard.responses import ROW_OF, Response, control_mode
from dmh_edge.task import TaskSpec


class SafeStop(BaseException):
    """The guard demands that the robot stops now; the message says why.

    Not an ``Exception``: it can be raised in the middle of a reset, and a robot's own error handling must not catch it.
    """


class Guard:
    """Checks and limits for one robot.

    Args:
        task: task with the bounds, slew limits, longest age of an observation and longest hold.
        period_ns: control period in nanoseconds.
        lockstep: whether the robot's time stands still between two actions. Each action then lasts one period of the
            task, at any rate of the loop, and lateness is not a fault.
        settings: what the guard does beyond the contract's limits; None for the defaults.
        simulated: whether the robot is simulated and cannot hurt anyone.
        damps: whether the robot can damp itself.
        note: function that is called with each fault when it is seen; None for none.

    Attributes:
        settings: what the guard does beyond the contract's limits.
        counts: how often each fault was seen.

    Raises:
        ConfigError: a setting cannot be used with this task or robot.
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
            raise ConfigError("guard setting: got 'damp', but the robot cannot damp itself (its `damp` is None)")
        self._discrete = control_mode(task) == "discrete"
        self._period_ns, self._lockstep, self._action_delay = period_ns, lockstep, task.action_delay
        ramp_ns = round(settings.ramp_in_s(task, simulated) * NS_PER_S)
        self._limits = ActionLimits(task, period_ns, lockstep, ramp_ns)
        self._lateness = LatenessDetector(settings, period_ns)
        self._holding = HoldingDetector(task, settings)
        self._readings = ReadingDetector(task, settings, lockstep)
        self._proposals = ProposalDetector(task, settings, self._limits, period_ns)
        self._tracking = TrackingDetector(task, settings)
        self._needs_pose = control_mode(task) == "position" and self._tracking.measures_actions
        self._late_already = False  # whether lateness is already counted in the current slot
        self._measured = False  # whether it was measured where the robot stands, since the episode began
        self._written = False  # whether an action was written since the episode began

    def standing(self, now_ns: int) -> Action:
        """The action that leaves the robot where its reset left it.

        Raises:
            SafeStop: a position target is needed, but it has not been measured where the robot is.
        """
        if self._needs_pose and not self._measured:
            self.stop(Fault.POSE_UNKNOWN, "there is no position to hold before the first good observation")
        return self.limit(self._limits.standing, now_ns)

    def start_episode(self, slot_ns: int) -> None:
        """Begin an episode. The robot stands at its safe action until it is measured, and there is nothing to hold.

        Args:
            slot_ns: when the first slot begins, in nanoseconds.
        """
        self._measured = self._written = False
        self._holding.start_episode(slot_ns - self._period_ns)
        self._tracking.start_episode()
        self._readings.start_episode()
        self._limits.stand(None, slot_ns)

    def begin_slot(self, slot: Slot) -> None:
        """Begin a slot. Slots skipped before it count as late; the robot went on with its last action in them.

        Raises:
            SafeStop: the robot went on with its last action for too long.
        """
        self._late_already = False
        if self._lockstep or not slot.skipped:
            return
        self._lateness.skip(slot.skipped)
        self._refuse_long_hold(Fault.LATE, slot.start_ns - self._period_ns)

    def end_slot(self, slot_ns: int, now_ns: int) -> None:
        """End a slot.

        Raises:
            SafeStop: too many of the last slots were late.
        """
        self._lateness.end_slot(late=self.check_late(slot_ns, now_ns) is not None)
        if why := self._lateness.late_too_often():
            self.stop(Fault.LATE_TOO_OFTEN, why)

    def check_late(self, slot_ns: int, now_ns: int) -> Fault | None:
        """The fault if the slot's action is over its time budget, else None; a slot is counted once."""
        if self._lockstep or not self._lateness.is_over(slot_ns, now_ns):
            return None
        if not self._late_already:
            self._late_already = True
            self.count(Fault.LATE)
        return Fault.LATE

    def check_observation(self, reading: Reading, now_ns: int) -> Fault | None:
        """The first fault of an observation; None if it is good.

        Raises:
            SafeStop: the robot has been too far from its action for too long.
        """
        if fault := self._readings.check(reading, now_ns):
            return self.count(fault)
        where = self._tracking.measure(reading.observation)
        if where is None:
            return None
        if not self._measured and not self._written:
            self._limits.stand(where, now_ns)
            self._measured = True
        elif why := self._tracking.off_too_long(where, self._limits.last, reading.stamp_ns):
            self.stop(Fault.TRACKING, why)
        return None

    def check_age(self, stamp_ns: int, now_ns: int) -> Fault | None:
        """The fault if an action is too old to be written, else None.

        The action's observation was measured at ``stamp_ns``. Computing the action took time, and with an action delay
        it waited for its slot.
        """
        fault = self._readings.check_age(stamp_ns, now_ns, self._action_delay * self._period_ns)
        return fault and self.count(fault)

    def check_reward(self, reading: Reading) -> Fault | None:
        """The fault of a reward; None if it is good."""
        fault = self._readings.check_reward(reading)
        return fault and self.count(fault)

    def check_proposal(self, action: Action, everything_is_finite: bool) -> Fault | None:
        """The fault for which a proposal cannot be used; None if it can. `limit` handles a continuous action's limits.

        Args:
            action: the action as the policy wishes it, ``[A]`` or ``[]``.
            everything_is_finite: whether the rest of the proposal, state included, is finite.
        """
        fault = self._proposals.check(action, everything_is_finite)
        return fault and self.count(fault)

    def limit_proposal(self, action: Action, now_ns: int) -> Action:
        """Limit the policy's own action as `limit` does, and count a change as a fault.

        Raises:
            SafeStop: the actions had to be changed for too long, or one was changed and the response to that is a stop.
        """
        if self._discrete:
            return self.limit(action, now_ns)
        action = self._limits.ramped(action, now_ns)
        limited = self.limit(action, now_ns)
        for fault in self._proposals.check_limits(action, limited):
            self.count(fault)
            if self._responses["limits"] is Response.STOP:
                raise SafeStop(fault.value)
        if why := self._proposals.clamped_too_long():
            self.stop(Fault.CLAMPED_TOO_LONG, why)
        return limited

    def limit(self, action: Action, now_ns: int) -> Action:
        """Limit an action: inside its bounds, and not further from the last action than the slew limit allows.

        Args:
            action: the action, finite, ``[A]`` or ``[]``.
            now_ns: time just before the action is written.

        Returns:
            the action that may be written, as a new array.
        """
        return self._limits.limit(action, now_ns)

    def without_step(self, fault: Fault, slot_ns: int, now_ns: int) -> Action | None:
        """The action for a slot in which the policy takes no step.

        Args:
            fault: why the policy takes no step.
            slot_ns: when the slot began.
            now_ns: time just before the action is written.

        Returns:
            the action; None where the robot must damp itself instead.

        Raises:
            SafeStop: there is no such action, or the policy has taken no step for too long.
        """
        response = self._responses[ROW_OF[fault]]
        if response is Response.STOP or (response is Response.DAMP and not self._damps):
            raise SafeStop(fault.value)
        if why := self._proposals.too_many_in_a_row(fault):
            self.stop(Fault.BAD_PROPOSALS, why)
        # If the action is ready only in a later slot, the hold lasts until that slot.
        over_ns = 0 if self._lockstep else max(0, now_ns - slot_ns) // self._period_ns * self._period_ns
        until_ns = slot_ns + over_ns
        self._refuse_long_hold(fault, until_ns)
        if response is Response.DAMP:
            return None
        if response is Response.SAFE:
            return self.limit(self._limits.safe, now_ns)
        last_step = self._holding.last_step
        if last_step is None:
            return self.standing(now_ns)
        if response is Response.RAMP:
            last_step = last_step * self._holding.share_left(until_ns)
        return self.limit(last_step, now_ns)

    def wrote(self, applied: Action, now_ns: int) -> None:
        """Note that an action was applied.

        Args:
            applied: the applied action, as the robot reports it.
            now_ns: time just after the action was written, so that the time until the next one is not overestimated.

        Raises:
            RobotError: no robot can have applied such an action.
        """
        self._limits.check_applied(applied)
        self._written = True
        self._limits.wrote(applied, now_ns)

    def damped(self, now_ns: int) -> None:
        """Note that the robot damped itself: it goes on from its safe action."""
        self.wrote(self._limits.safe, now_ns)

    def stepped(self, slot_ns: int) -> None:
        """Note that the last applied action was a step of the policy.

        Args:
            slot_ns: when the slot began in which the action was written.
        """
        self._holding.stepped(self._limits.last, slot_ns)

    def stop(self, fault: Fault, detail: str) -> NoReturn:
        """Count a fault that ends the run, and stop.

        Raises:
            SafeStop: always.
        """
        self.count(fault)
        raise SafeStop(f"{fault.value}: {detail}")

    def count(self, fault: Fault) -> Fault:
        """Count a fault that was seen here or elsewhere."""
        self.counts[fault] += 1
        if self._note:
            self._note(fault)
        return fault

    def _refuse_long_hold(self, fault: Fault, until_ns: int) -> None:
        if why := self._holding.held_too_long(fault, until_ns):
            self.stop(Fault.HELD_TOO_LONG, why)
