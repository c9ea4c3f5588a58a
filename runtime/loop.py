"""The loop: one policy drives one robot at a fixed rate.

    wait for the slot -> robot.read -> guard -> policy proposes -> guard -> robot.write -> commit -> record

    disarmed -> self-tested -> armed -> running -> stopped (latched: a loop runs once)

What happens in a slot stands in `runtime.turn`. An episode ends by the robot's flags or at the task's horizon; the
policy takes no step on its last observation, whose reward goes into the first step of the next episode.

Garbage is collected between episodes only. No Python thread runs beside the loop.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import NoReturn

from dmh_edge.clock import NS_PER_S, Clock, Rate, Slot
from dmh_edge.contract import TaskSpec
from dmh_edge.errors import RobotError
from dmh_edge.robots.protocol import Robot
from dmh_edge.runtime.agent import Agent
from dmh_edge.runtime.asking import ask
from dmh_edge.runtime.guard import Guard, SafeStop
from dmh_edge.runtime.preflight import check_fit
from dmh_edge.runtime.records import Limits, Recorder
from dmh_edge.runtime.report import Summary
from dmh_edge.runtime.signals import StopRequested, StopSignals
from dmh_edge.runtime.steps import Steps
from dmh_edge.runtime.tally import StoppedBy, Tally
from dmh_edge.runtime.turn import Turns


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
        recorder: Recorder | None,
    ) -> None:
        self._agent, self._session, self._robot = agent, agent.session, robot
        self._contract = agent.session.contract
        self._task: TaskSpec = self._contract.task
        self._limits, self._clock, self._signals, self._recorder = limits, clock, signals, recorder
        self.rate_hz = self._task.rate_hz if rate_hz is None else rate_hz
        self._rate = Rate(self.rate_hz, clock)
        self._guard = Guard(self._task, self._rate.period_ns, robot.lockstep)
        self._steps = Steps(agent, clock, recorder)
        self.tally = Tally()
        self.began = False
        self._turns = Turns(self._task, robot, self._guard, self._steps, clock, self.tally)
        self._first_slot_ns: int | None = None

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
                self._drive(recall())
            finally:
                self._signals.phase = "stopping"
        except _LimitReached as reached:
            self._note(reached.limit, "the limit was reached")
        except SafeStop as stop:
            self._note("guard", str(stop))
        except StopRequested:
            self._note("operator", self._signals.received)
        except BaseException as error:  # noqa: BLE001 (the robot is stopped first, then it is raised)
            failure = error
            self._note("error", str(error))
        self._stop_robot(failure)
        if failure is not None:
            raise failure

    @property
    def reward_due(self) -> float:
        """Rewards that are no part of any step of the policy yet."""
        return self._steps.reward_due

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

    def _drive(self, reward_due: float) -> NoReturn:
        """Connect, arm, and take slot after slot until an exception says why to stop."""
        ask("connect", self._robot.connect)
        self._steps.begin(reward_due)
        self.began = True
        ask("arm", self._robot.arm)
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
        ask("reset", self._robot.reset)
        self._signals.phase = "running"
        self._rate.restart()
        self._turns.start_episode()

    def _take(self, slot: Slot) -> None:
        """One slot, and what follows from it."""
        if self._first_slot_ns is None:
            self._first_slot_ns = slot.start_ns
        if self._limits.duration_s and slot.start_ns - self._first_slot_ns >= self._limits.duration_s * NS_PER_S:
            raise _LimitReached("duration")
        self.tally.slots += 1
        self.tally.overruns += slot.skipped > 0
        self.tally.skipped_slots += slot.skipped
        if self._turns.take(slot):
            if self.tally.ticks == self._limits.ticks:
                raise _LimitReached("ticks")
        elif len(self.tally.returns) == self._limits.episodes:
            raise _LimitReached("episodes")
        else:
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
