"""The loop: one policy drives one robot at a fixed rate.

    wait for the slot -> robot.read -> guard -> policy proposes -> guard -> robot.write -> commit -> record

    disarmed -> self-tested -> armed -> running -> stopped (latched: a loop runs once)

A slot in which something is wrong with what was read or proposed is not a step of the policy: the guard chooses the
action, and the rewards of such slots are added to those of the next step. An episode ends by the robot's flags or at
the task's horizon; the policy takes no step on its last observation, whose reward goes into the first step of the next
episode. With an action delay of 1 a proposal is written, and becomes final, in the slot after the one that made it.

Garbage is collected between episodes only. No Python thread runs beside the loop.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np

from dmh_edge.clock import NS_PER_S, Clock, Rate, Slot
from dmh_edge.contract import TaskSpec
from dmh_edge.errors import DmhEdgeError, RobotError
from dmh_edge.robots.protocol import Action, Reading, Robot
from dmh_edge.runtime.agent import Agent
from dmh_edge.runtime.faults import Fault
from dmh_edge.runtime.guard import Guard, SafeStop
from dmh_edge.runtime.listeners import Records
from dmh_edge.runtime.preflight import check_fit
from dmh_edge.runtime.records import FIGURES, Limits
from dmh_edge.runtime.report import Summary
from dmh_edge.runtime.schedule import Schedule
from dmh_edge.runtime.signals import StopRequested, StopSignals
from dmh_edge.runtime.tally import SlotKind, StoppedBy, Tally


class _LimitReached(Exception):
    """The run has ended as it should."""

    def __init__(self, limit: StoppedBy) -> None:
        super().__init__(limit)
        self.limit = limit


class Loop:
    """One run of a policy on a robot.

    Args:
        agent: feeds a session of one robot.
        robot: neither connected nor armed.
        rate_hz: control rate; None for the policy's own.
        limits: when to end.
        clock: where time comes from.
        signals: entered by the caller, who writes the records while a second Ctrl-C is still held off.
        recorder: None to keep no trace.

    Attributes:
        tally: what has been counted so far.
        began: whether the policy's state is the run's: after the self-test, and after what was learned was restored.
    """

    def __init__(
        self,
        agent: Agent,
        robot: Robot,
        *,
        rate_hz: float | None,
        limits: Limits,
        clock: Clock,
        signals: StopSignals,
        recorder: Records | None,
    ) -> None:
        self._agent, self._session, self._robot = agent, agent.session, robot
        self._contract = agent.session.contract
        self._task: TaskSpec = self._contract.task
        self._limits, self._clock, self._signals, self._recorder = limits, clock, signals, recorder
        self.rate_hz = self._task.rate_hz if rate_hz is None else rate_hz
        self._rate = Rate(self.rate_hz, clock)
        self._guard = Guard(self._task, self._rate.period_ns, robot.lockstep)
        self._schedule = Schedule(self._contract.model.graphs, batch=1)
        self.tally = Tally()
        self.began = False
        self._asking = ""  # which call of the robot is under way
        self._first_slot_ns: int | None = None
        self._actions_in_episode = 0
        self._reward_heard = 0.0  # not yet part of a proposal
        self._reward_proposed = 0.0  # part of the proposal under way
        self._reward = np.zeros(1, np.float32)
        self._episode_start = np.ones(1, np.bool_)
        self._wished: Action = self._guard.safe_action  # the proposal under way ...
        self._has_proposal = False  # ... if there is one
        self._observed_ns = 0  # when it was measured what the proposal is about
        self._started_by_proposal = False  # whether the proposal is the first of an episode
        self._reason: Fault | None = None  # why there is none
        self._kind: SlotKind = "no_step"  # of the slot under way
        self._figures = [0] * len(FIGURES)  # of the proposal under way

    def run(self, self_test: Callable[[], None], recall: Callable[[], float]) -> None:
        """Take the robot through its whole life. It stands still when this returns or raises.

        Args:
            self_test: replays the golden trace through the session.
            recall: gives the session, which has forgotten everything, what it learned before, and returns the reward
                that the policy had not been told then.

        Raises:
            DmhEdgeError: the robot does not fit, the self-test failed, or robot or backend failed; `tally` tells how
                far it came.
        """
        failure: BaseException | None = None
        try:
            try:
                check_fit(self._robot, self._task, self.rate_hz)
                self_test()
                self._agent.forget()
                self._reward_heard = recall()
                self._drive()
            finally:
                self._signals.phase = "stopping"
        except _LimitReached as reached:
            self._note(reached.limit, "the limit was reached")
        except SafeStop as stop:
            self._note("guard", str(stop))
        except StopRequested:
            self._note("operator", self._signals.received)
        except BaseException as error:  # noqa: BLE001 (the robot is stopped first, then it is raised)
            failure = self._named(error)
            self._note("error", str(failure))
        try:
            self._stop_robot(failure)
        finally:
            if self._recorder:
                self._recorder.end(self._clock.now_ns(), self.tally, self._guard.counts)
        if failure is not None:
            raise failure

    @property
    def reward_due(self) -> float:
        """Rewards that are no part of any step of the policy yet."""
        return self._reward_heard + (self._reward_proposed if self._has_proposal else 0.0)

    def summary(self) -> Summary:
        """The report so far."""
        return Summary.of(
            self.tally,
            self._contract,
            backend=self._session.backend,
            rate_hz=self.rate_hz,
            faults=self._guard.counts,
            unrecorded=self._recorder.unrecorded if self._recorder else 0,
        )

    def _drive(self) -> NoReturn:
        """Connect, arm, and take slot after slot until an exception says why to stop."""
        self._asking = "connect"
        self._robot.connect()
        self._asking = ""
        if self._recorder:
            self._recorder.begin(self._session)
        self.began = True
        self._asking = "arm"
        self._robot.arm()
        with _no_garbage_collection():
            self._start_episode()
            while True:
                slot = self._rate.wait(self._signals.requested)
                if slot is None:
                    raise StopRequested
                self._take(slot)

    def _start_episode(self) -> None:
        gc.collect()
        self._signals.phase = "waiting"
        if self._signals.requested():  # it came in the last slot, and a reset is motion
            raise StopRequested
        self._asking = "reset"
        self._robot.reset()
        self._asking = ""
        self._signals.phase = "running"
        self._rate.restart()
        self._actions_in_episode = 0
        self._episode_start[0] = True
        self._reason = None

    def _take(self, slot: Slot) -> None:
        """One slot."""
        if self._first_slot_ns is None:
            self._first_slot_ns = slot.start_ns
        if self._limits.duration_s and slot.start_ns - self._first_slot_ns >= self._limits.duration_s * NS_PER_S:
            raise _LimitReached("duration")
        self.tally.slots += 1
        self.tally.overruns += slot.skipped > 0
        self.tally.skipped_slots += slot.skipped
        if self._actions_in_episode == 0:
            self._guard.start_episode(slot.start_ns)

        begin_ns = self._clock.now_ns()
        self._asking = "read"
        reading = self._robot.read()
        self._asking = ""
        now_ns = self._clock.now_ns()
        fault = self._hear_reward(reading)
        self._kind = "no_step"
        if reading.episode_over or self._actions_in_episode >= self._task.horizon:
            self._end_episode(slot)
            return
        fault = self._guard.check_observation(reading, now_ns) or fault
        if self._task.action_delay:
            self._act(slot)
            self._propose(slot, reading, fault, read_ns=now_ns - begin_ns)
            self._figures[5] = self._clock.now_ns() - slot.start_ns
        else:
            self._propose(slot, reading, fault, read_ns=now_ns - begin_ns)
            self._act(slot)
        self._count(slot)
        if self.tally.ticks == self._limits.ticks:
            raise _LimitReached("ticks")

    def _hear_reward(self, reading: Reading) -> Fault | None:
        """Add up what the last action earned; the first reading of an episode follows none."""
        if self._actions_in_episode == 0:
            return None
        fault = self._guard.check_reward(reading)
        if fault is None:
            self._reward_heard += reading.reward
            self.tally.unfinished_return += reading.reward
        return fault

    def _propose(self, slot: Slot, reading: Reading, fault: Fault | None, read_ns: int) -> None:
        """Let the policy propose an action, unless something is wrong with what it would be shown."""
        self._has_proposal = False
        self._reason = fault
        if fault is not None:
            return
        begin_ns = self._clock.now_ns()
        self._reward[0] = self._reward_heard
        outputs = self._agent.propose(reading.observation, self._reward, self._episode_start)
        self._wished = outputs["action"][0, ...].copy()
        self._reason = self._guard.check_proposal(self._wished, self._session.proposal_is_finite())
        self._figures[:4] = slot.index, slot.lateness_ns, read_ns, self._clock.now_ns() - begin_ns
        graphs_due = zip(self._schedule.propose(self._episode_start), self._contract.model.graphs, strict=True)
        self._kind = "boundary" if any(due and graph.every > 1 for due, graph in graphs_due) else "actor"
        if self._recorder:
            self._recorder.propose(self._agent.world, outputs, self._kind == "boundary", self._session)
        if self._reason is None:
            self._has_proposal = True
            self._observed_ns = reading.stamp_ns
            self._reward_proposed, self._reward_heard = self._reward_heard, 0.0
            self._started_by_proposal = bool(self._episode_start[0])
            self._episode_start[0] = False

    def _act(self, slot: Slot) -> None:
        """Write an action: the policy's where there is one, the guard's where there is none."""
        begin_ns = self._clock.now_ns()
        if self._has_proposal and (late := self._guard.check_age(self._observed_ns, begin_ns)):
            self._withdraw(late)
        if self._has_proposal:
            action = self._guard.limit_proposal(self._wished, begin_ns)
        elif self._reason is None:  # the first slot of an episode under an action delay: nothing is due yet
            action = self._guard.limit(self._guard.safe_action, begin_ns)
        else:
            self.tally.held_slots += 1
            action = self._guard.without_step(self._reason, slot.start_ns, begin_ns)
        self._asking = "write"
        applied = self._robot.write(action)
        self._asking = ""
        if getattr(applied, "shape", None) != action.shape or not np.isfinite(applied).all():
            raise RobotError(f"write: got {applied!r} as the applied action, expected an array like {action!r}")
        self._actions_in_episode += 1
        end_ns = self._clock.now_ns()
        self._guard.wrote(applied, end_ns)
        self._figures[4] = end_ns - begin_ns
        if self._has_proposal:
            self._guard.stepped(slot.start_ns)
            self._commit(applied, slot)

    def _withdraw(self, fault: Fault) -> None:
        """The proposal is no step after all: what it was told counts for the next one."""
        self._has_proposal, self._reason, self._kind = False, fault, "no_step"
        self._reward_heard += self._reward_proposed
        self._episode_start[0] = self._started_by_proposal

    def _commit(self, applied: Action, slot: Slot) -> None:
        """The proposal becomes a step of the policy."""
        self._agent.commit(applied)
        self._schedule.commit()
        self._has_proposal = False
        self.tally.ticks += 1
        if not self._task.action_delay:
            self._figures[5] = self._clock.now_ns() - slot.start_ns
        if self._recorder:
            self._recorder.commit(self._figures, applied)

    def _count(self, slot: Slot) -> None:
        """At the end of a slot."""
        durations, now_ns = self.tally.durations[self._kind], self._clock.now_ns()
        durations.lateness.add(slot.lateness_ns)
        durations.total.add(now_ns - slot.start_ns)
        if self._kind != "no_step":
            durations.compute.add(self._figures[3])
        if self._recorder:
            figures = (slot.index, slot.lateness_ns, 0, 0, 0, now_ns - slot.start_ns)
            self._recorder.slot(now_ns, self._kind, figures, self.tally, self._guard.counts)

    def _end_episode(self, slot: Slot) -> None:
        """After the last reading of an episode."""
        if self._actions_in_episode == 0:
            raise RobotError("the robot says that the episode is over right after its reset; look at its start")
        if self._has_proposal:  # under an action delay the last one comes too late to be written, but it was a step
            self._commit(self._guard.limit(self._wished, self._clock.now_ns()), slot)
        self._count(slot)
        self.tally.returns.append(self.tally.unfinished_return)
        self.tally.unfinished_return = 0.0
        if len(self.tally.returns) == self._limits.episodes:
            raise _LimitReached("episodes")
        self._start_episode()

    def _stop_robot(self, failure: BaseException | None) -> None:
        """Stop it, and let go of it, which stops it once more.

        Raises:
            RobotError: it did not confirm.
        """
        try:
            try:
                self._robot.stop()
            finally:
                self._robot.close()
        except Exception as error:
            before = f"; before that: {failure}" if failure is not None else ""
            self._note(
                "error",
                f"the robot did not confirm that it stands still ({type(error).__name__}: {error}): "
                f"make sure that it does, by its emergency stop if need be{before}",
            )
            raise RobotError(self.tally.detail) from error

    def _named(self, error: BaseException) -> BaseException:
        """What a robot raises, as an error of ours that says which call it was."""
        if self._asking and isinstance(error, Exception) and not isinstance(error, DmhEdgeError):
            named = RobotError(f"the robot failed in {self._asking}: {type(error).__name__}: {error}")
            named.__cause__ = error
            return named
        return error

    def _note(self, stopped_by: StoppedBy, detail: str) -> None:
        self.tally.stopped_by, self.tally.detail = stopped_by, detail


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Everything that is alive now is left alone, and nothing is collected unless asked for."""
    was_enabled = gc.isenabled()
    frozen_before = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not frozen_before:
            gc.unfreeze()
        if was_enabled:
            gc.enable()
