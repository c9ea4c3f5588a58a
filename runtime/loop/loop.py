"""The loop: one policy drives one robot at a fixed rate.

    wait for the slot -> robot.read -> guard -> policy proposes -> guard -> robot.write -> commit -> record

    disarmed -> self-tested -> armed -> running -> stopped (latched: a loop runs once)

`runtime.loop.turn` says what happens in a slot. An episode ends by the robot's flags, at the task's horizon, or when
the operator ends it. The policy takes no step on the last observation of an episode; the reward that comes with it
counts for the first step of the next episode. Between two episodes the robot moves by itself, for a limited time, and
the policy is not stepped.

Garbage is collected only between episodes. No Python thread runs beside the loop. A process watches over it
(`runtime.watchdog.supervision`); once that process has stopped the robot, the loop does not move it again.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import NoReturn

from dmh_edge.clock import NS_PER_S, Slot
from dmh_edge.errors import BackendError, RobotError
from dmh_edge.robots.protocol import Robot
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard import Guard, SafeStop
from dmh_edge.runtime.loop.alarm import alarm
from dmh_edge.runtime.loop.asking import ask
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.overseers import Overseers
from dmh_edge.runtime.loop.pace import Pace
from dmh_edge.runtime.loop.preflight import check_fit
from dmh_edge.runtime.loop.steps import Steps
from dmh_edge.runtime.loop.turn import Turns
from dmh_edge.runtime.operator.signals import StopRequested
from dmh_edge.runtime.records.recorder import Recorder
from dmh_edge.runtime.report.events import EventLog, Moment
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import StoppedBy, Tally
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.watchdog.heartbeat import Phase
from dmh_edge.runtime.watchdog.supervision import WatchdogFired

#: The longest time during a reset until the loop sees a stop request that comes without a signal.
_RESET_CHECK_NS = NS_PER_S // 100


class _LimitReached(Exception):
    """The run has ended as it should."""

    def __init__(self, limit: StoppedBy) -> None:
        super().__init__(limit)
        self.limit = limit


class Loop:
    """One run of a policy on a robot.

    Args:
        agent: agent that feeds a session of one robot.
        robot: the robot, neither connected nor armed.
        guard: guard between agent and robot; it adds its faults to ``log``.
        pace: pace that begins the slots.
        limits: limits at which the run ends.
        overseers: who can stop the loop, and who must be informed that it is alive.
        recorder: recorder of every step and slot; None to keep no records.
        log: log of the run's events.

    Attributes:
        tally: counters of the run.
        began: whether the policy's state belongs to the run. It does once the self-test is over and the state that
            was learned before is restored.
    """

    def __init__(
        self,
        agent: Agent,
        robot: Robot,
        guard: Guard,
        pace: Pace,
        limits: Limits,
        overseers: Overseers,
        recorder: Recorder | None,
        log: EventLog,
    ) -> None:
        self._agent, self._session, self._robot = agent, agent.session, robot
        self._guard, self._pace, self._limits, self._overseers = guard, pace, limits, overseers
        self._signals, self._operator = overseers.signals, overseers.operator
        self._supervision, self._notifier = overseers.supervision, overseers.notifier
        self._recorder, self._log = recorder, log
        self._contract, self._clock = agent.session.contract, pace.clock
        self._deadman_ns = None if guard.settings.deadman_s is None else round(guard.settings.deadman_s * NS_PER_S)
        self._steps = Steps(agent, pace.clock, recorder)
        self.tally = Tally()
        self.began = False
        self._turns = Turns(robot, pace, guard, self._steps, overseers, self.tally, log)
        self._first_slot_ns: int | None = None

    def run(self, self_test: Callable[[], object], recall: Callable[[], float]) -> None:
        """Run the robot from connecting to closing. It stands still when this returns or raises.

        Args:
            self_test: function that replays the golden trace through the session.
            recall: function that restores in the session, which has forgotten everything, what it learned before. It
                returns the reward that the policy had not received then.

        Raises:
            DmhEdgeError: the robot does not fit, the self-test failed, or robot or backend failed; `tally` shows how
                far the run came.
        """
        failure: BaseException | None = None
        try:
            try:
                self._signals.phase = "waiting"
                if self._overseers.want_a_stop():  # the request came before the run began
                    raise StopRequested
                check_fit(self._robot, self._contract.task, self._pace.rate_hz)
                self_test()
                self._log.add(Moment.SELF_TESTED)
                self._agent.forget()
                self._drive(recall())
            finally:
                self._signals.phase = "stopping"
        except _LimitReached as reached:
            self._note(reached.limit, "the limit was reached")
        except SafeStop as stop:
            self._note("guard", str(stop))
        except StopRequested:
            self._log.add(Moment.OPERATOR_STOP)
            self._note("operator", self._signals.received or self._operator.stop_reason)
        except WatchdogFired:
            pass  # noted below
        except BaseException as error:  # noqa: BLE001 (raised again, once the robot is stopped)
            failure = error
            self._note("error", str(error))
            if isinstance(error, (RobotError, BackendError)):
                self._guard.count(Fault.ROBOT_FAILED if isinstance(error, RobotError) else Fault.POLICY_FAILED)
        try:
            self._stop_robot(failure)
        finally:
            if verdict := self._supervision.verdict:
                self._note("watchdog", "; ".join(filter(None, (verdict, self.tally.detail))))
            self._log.run_ended(f"{self.tally.stopped_by}: {self.tally.detail}")
            self._steps.end()
        if verdict and isinstance(failure, RobotError):  # a robot that was stopped from outside refuses the next call
            return
        if failure is not None:
            raise failure

    @property
    def reward_due(self) -> float:
        """Sum of the rewards that are not part of any policy step yet."""
        return self._steps.reward_due

    def summary(self) -> Summary:
        """The report so far."""
        return Summary.of(
            self.tally,
            self._contract,
            backend=self._session.backend,
            rate_hz=self._pace.rate_hz,
            faults=self._guard.counts,
            events=self._log.events(),
            events_dropped=self._log.dropped,
            unrecorded=self._recorder.unrecorded if self._recorder else 0,
        )

    def _drive(self, reward_due: float) -> NoReturn:
        """Connect, arm, and run slot after slot until an exception gives the reason to stop."""
        ask("connect", self._robot.connect)
        self._log.add(Moment.CONNECTED)
        self._supervision.begin(self._robot)
        self._notifier.say("READY=1")
        self._overseers.permit()
        self._steps.begin(reward_due)
        if self._overseers.want_a_stop():  # the request came while everything was prepared
            raise StopRequested
        self.began = True
        self._operator.confirm()
        self._supervision.check_in(Phase.RESETTING)
        ask("arm", self._robot.arm)
        self._log.add(Moment.ARMED)
        with _no_garbage_collection():
            self._start_episode()
            while True:
                slot = self._pace.wait(self._overseers.want_a_stop)
                if slot is None:
                    raise StopRequested
                self._take(slot)
                self._notifier.alive(slot.start_ns, self.tally.ticks)

    def _start_episode(self) -> None:
        self._supervision.check_in(Phase.RESETTING)
        gc.collect()
        self._signals.phase = "waiting"
        if self._overseers.want_a_stop():  # the request came in the last slot, and a reset is motion
            raise StopRequested
        until_ns = self._clock.now_ns() + round(self._guard.settings.reset_timeout_s * NS_PER_S)

        def seconds_left() -> float:
            """Seconds until the next check; raises when the reset is too long or the operator is absent or stops it."""
            if self._operator.stop_reason:
                self._signals.request(self._operator.stop_reason)  # raises once, as a signal would
            now_ns = self._clock.now_ns()
            if now_ns > until_ns:
                self._guard.stop(Fault.RESET_TIMEOUT, f"longest reset {self._guard.settings.reset_timeout_s:g} s")
            present_ns = self._check_operator(now_ns)
            return min(until_ns - now_ns, present_ns, _RESET_CHECK_NS) / NS_PER_S

        with alarm(seconds_left):
            ask("reset", self._robot.reset)
        seconds_left()
        self._supervision.check_in(Phase.RUNNING)
        self._signals.phase = "running"
        self._pace.restart()
        self._turns.start_episode()

    def _check_operator(self, now_ns: int) -> int:
        """Nanoseconds until the operator must confirm again.

        Raises:
            SafeStop: the last confirmation is too long ago.
        """
        if self._deadman_ns is None:
            return NS_PER_S * 3600
        left_ns = self._operator.confirmed_ns + self._deadman_ns - now_ns
        if left_ns < 0:
            self._guard.stop(Fault.OPERATOR_ABSENT, f"no confirmation for {self._guard.settings.deadman_s:g} s")
        return left_ns

    def _take(self, slot: Slot) -> None:
        """Run one slot; end the episode or the run where it says so."""
        self._supervision.check_in(Phase.RUNNING)
        if self._first_slot_ns is None:
            self._first_slot_ns = slot.start_ns
        if self._limits.duration_s and slot.start_ns - self._first_slot_ns >= self._limits.duration_s * NS_PER_S:
            raise _LimitReached("duration")
        self._log.slot = slot.index
        self.tally.slots += 1
        self.tally.overruns += slot.skipped > 0
        self.tally.skipped_slots += slot.skipped
        if slot.skipped:
            self._log.slots_passed(slot.skipped)
        self._check_operator(slot.start_ns)
        goes_on = self._turns.take(slot)
        if self.tally.ticks == self._limits.ticks:  # under an action delay, also by the last reading of an episode
            raise _LimitReached("ticks")
        if goes_on:
            return
        if len(self.tally.returns) == self._limits.episodes:
            raise _LimitReached("episodes")
        self._start_episode()

    def _stop_robot(self, failure: BaseException | None) -> None:
        """Stop the robot, and close it, which stops it once more.

        Raises:
            RobotError: the robot did not confirm that it stands still.
        """
        self._log.add(Moment.STOPPING)
        self._supervision.tell(Phase.STOPPING)
        self._notifier.say("STOPPING=1")
        try:
            try:
                self._robot.stop()
                self._supervision.tell(Phase.DISARMED)
                self._log.add(Moment.STOPPED)
            finally:
                self._robot.close()
        except Exception as error:
            self._guard.count(Fault.STOP_FAILED)
            before = f"; before that: {failure}" if failure is not None else ""
            self._note(
                "error",
                f"the robot did not confirm that it stands still ({type(error).__name__}: {error}): "
                f"make sure that it does, with its emergency stop if necessary{before}",
            )
            raise RobotError(self.tally.detail) from error
        finally:
            self._supervision.end()

    def _note(self, stopped_by: StoppedBy, detail: str) -> None:
        printable = detail.encode(errors="backslashreplace").decode()  # a driver's message can contain anything
        self.tally.stopped_by, self.tally.detail = stopped_by, printable


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Exclude all objects that exist now from collection, and collect the others only where the loop does it."""
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
