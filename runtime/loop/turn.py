"""One turn of the loop: what happens in a slot.

    robot.read -> guard -> policy proposes -> guard -> robot.write -> commit -> record

A slot in which something is wrong with the reading or the proposal is not a step of the policy: the guard chooses the
action, and the rewards of such slots are added to the reward of the next step. With an action delay of 1, a proposal
is written and committed in the slot after the one that made it.
"""

from __future__ import annotations

from dmh_edge.clock import Slot
from dmh_edge.errors import RobotError
from dmh_edge.robots.protocol import Action, Reading, Robot
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.loop.asking import ask
from dmh_edge.runtime.loop.overseers import Overseers
from dmh_edge.runtime.loop.pace import Pace
from dmh_edge.runtime.loop.steps import Steps
from dmh_edge.runtime.report.events import EventLog, Moment
from dmh_edge.runtime.report.tally import Tally


class Turns:
    """The turns of one robot, slot by slot.

    Args:
        robot: the robot, armed, and reset before the first turn of each episode.
        pace: pace that gives the reading of each slot.
        guard: guard between robot and policy.
        steps: steps of the policy.
        overseers: the operator, who can end an episode, and the watchdog: a robot that it has stopped is not moved
            again.
        tally: counters of the run.
        log: log of the run's events.
    """

    def __init__(
        self,
        robot: Robot,
        pace: Pace,
        guard: Guard,
        steps: Steps,
        overseers: Overseers,
        tally: Tally,
        log: EventLog,
    ) -> None:
        self._robot, self._pace, self._guard, self._steps = robot, pace, guard, steps
        self._task, self._clock = steps.task, pace.clock
        self._operator, self._supervision = overseers.operator, overseers.supervision
        self._damp = _cannot_damp if robot.damp is None else robot.damp
        self._tally, self._log = tally, log
        self._actions_in_episode = 0
        self._reason: Fault | None = None  # why there is no proposal

    def start_episode(self) -> None:
        """Begin an episode; the robot was reset."""
        self._actions_in_episode = 0
        self._reason = None
        self._operator.wants_episode_to_end()  # a wish that came during the reset was for the episode before
        self._steps.start_episode()

    def take(self, slot: Slot) -> bool:
        """Run one slot.

        Returns:
            whether the episode goes on; False after its last reading: the robot then waits for a reset.

        Raises:
            SafeStop: the guard demands a stop.
            DmhEdgeError: robot or backend failed.
        """
        if self._actions_in_episode == 0:
            self._guard.start_episode(slot.start_ns)
        self._guard.begin_slot(slot)
        begin_ns = self._clock.now_ns()
        reading = self._pace.read()
        now_ns = self._clock.now_ns()
        fault = self._hear_reward(reading)
        self._steps.kind = "no_step"
        cut_short = self._actions_in_episode > 0 and self._operator.wants_episode_to_end()
        if reading.episode_over or cut_short or self._actions_in_episode >= self._task.horizon:
            if cut_short:
                self._log.add(Moment.EPISODE_ENDED)
            self._end_episode(slot)
            return False
        fault = self._guard.check_observation(reading, now_ns) or fault
        if self._task.action_delay:
            self._act(slot)
            self._propose(slot, reading, fault, read_ns=now_ns - begin_ns)
            self._steps.timing.total_ns = self._clock.now_ns() - slot.start_ns
        else:
            self._propose(slot, reading, fault, read_ns=now_ns - begin_ns)
            self._act(slot)
        self._count(slot)
        self._guard.end_slot(slot.start_ns, self._clock.now_ns())
        return True

    def _hear_reward(self, reading: Reading) -> Fault | None:
        """Add the reward of the last action; the first reading of an episode follows no action."""
        if self._actions_in_episode == 0:
            return None
        fault = self._guard.check_reward(reading)
        if fault is None:
            self._steps.hear(reading.reward)
            self._tally.unfinished_return += reading.reward
        return fault

    def _propose(self, slot: Slot, reading: Reading, fault: Fault | None, read_ns: int) -> None:
        """Let the policy propose an action, unless something is wrong with the reading."""
        self._reason = fault
        if fault is not None:
            return
        self._reason = self._guard.check_proposal(*self._steps.propose(slot, reading, read_ns))
        if self._reason is None:
            self._steps.adopt()

    def _act(self, slot: Slot) -> None:
        """Write an action: the policy's if there is one, else the guard's."""
        begin_ns = self._clock.now_ns()
        steps = self._steps
        late = self._guard.check_late(slot.start_ns, begin_ns)
        if steps.pending and (late := self._guard.check_age(steps.observed_ns, begin_ns) or late):
            steps.withdraw()
            self._reason = late
        action: Action | None
        if steps.pending:
            action = self._guard.limit_proposal(steps.wished, begin_ns)
        elif self._reason is None:  # the first slot of an episode with an action delay: no proposal is due yet
            action = self._guard.standing(begin_ns)
        else:
            self._tally.held_slots += 1
            action = self._guard.without_step(self._reason, slot.start_ns, begin_ns)
        self._actions_in_episode += 1
        self._supervision.check()
        if action is None:
            ask("damp", self._damp)
            self._guard.damped(self._clock.now_ns())
            return
        applied = ask("write", self._robot.write, action)
        end_ns = self._clock.now_ns()
        self._guard.wrote(applied, end_ns)
        steps.timing.write_ns = end_ns - begin_ns
        if steps.pending:
            self._guard.stepped(slot.start_ns)
            steps.commit(applied, None if self._task.action_delay else self._clock.now_ns() - slot.start_ns)
            self._tally.ticks += 1

    def _count(self, slot: Slot) -> None:
        """Count and record a slot at its end."""
        kind = self._steps.kind
        durations, now_ns = self._tally.durations[kind], self._clock.now_ns()
        durations.lateness.add(slot.lateness_ns)
        durations.total.add(now_ns - slot.start_ns)
        if kind != "no_step":
            durations.compute.add(self._steps.timing.compute_ns)
        self._steps.end_slot(slot, now_ns, self._tally)

    def _end_episode(self, slot: Slot) -> None:
        """End an episode after its last reading."""
        if self._actions_in_episode == 0:
            raise RobotError("the robot says that the episode is over right after its reset; check how it starts one")
        steps = self._steps
        if steps.pending:  # with an action delay the last action comes too late to be written, but it was a step
            total_ns = None if self._task.action_delay else self._clock.now_ns() - slot.start_ns
            steps.commit(self._guard.limit(steps.wished, self._clock.now_ns()), total_ns)
            self._tally.ticks += 1
        self._count(slot)
        self._tally.returns.append(self._tally.unfinished_return)
        self._log.episode_ended(len(self._tally.returns), self._tally.unfinished_return)
        self._tally.unfinished_return = 0.0


def _cannot_damp() -> None:
    raise RobotError("the robot cannot damp itself")
