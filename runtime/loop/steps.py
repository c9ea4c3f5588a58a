"""The policy's steps: proposed from a robot's reading, then committed once the action was applied, or withdrawn.

A step gets the sum of all rewards since the step before it. The reward of a withdrawn step counts for the next step.
"""

from __future__ import annotations

import numpy as np

from dmh_edge.clock import Clock, Slot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.records.recorder import Recorder
from dmh_edge.runtime.report.tally import SlotKind, Tally, TickTiming
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.task import TaskSpec


class Steps:
    """The steps of one policy on one robot.

    Args:
        agent: agent that feeds a session of one robot.
        clock: clock of the loop.
        recorder: recorder of every step and slot; None to keep no records.

    Attributes:
        pending: whether there is a proposal that was adopted and not yet committed.
        wished: action of the last proposal, as the policy wishes it, ``[A]`` or ``[]``.
        observed_ns: when the observation of the last proposal was measured.
        kind: kind of the current slot, by the graphs that ran.
        timing: times of the last proposal.
    """

    def __init__(self, agent: Agent, clock: Clock, recorder: Recorder | None) -> None:
        self._agent, self._session = agent, agent.session
        self._clock, self._recorder = clock, recorder
        self._graphs = self._session.contract.model.graphs
        self._reward_heard = 0.0  # not yet part of a proposal
        self._reward_proposed = 0.0  # part of the pending proposal
        self._reward = np.zeros(1, np.float32)
        self._episode_start = np.ones(1, np.bool_)
        self._started_by_proposal = False  # whether the proposal is the first of an episode
        self.wished: Action = np.zeros(0)
        self.pending = False
        self.observed_ns = 0
        self.kind: SlotKind = "no_step"
        self.timing = TickTiming()

    @property
    def task(self) -> TaskSpec:
        """The task that the policy was made for."""
        return self._session.contract.task

    @property
    def reward_due(self) -> float:
        """Sum of the rewards that are not part of any policy step yet."""
        return self._reward_heard + (self._reward_proposed if self.pending else 0.0)

    def begin(self, reward_due: float) -> None:
        """Begin the run.

        Args:
            reward_due: reward that the policy had not received when its previous run ended.
        """
        self._reward_heard = reward_due
        if self._recorder:
            self._recorder.begin(self._session)

    def start_episode(self) -> None:
        """Mark the next step as the first of an episode."""
        self._episode_start[0] = True

    def hear(self, reward: float) -> None:
        """Add the reward of the previous action."""
        self._reward_heard += reward

    def propose(self, slot: Slot, reading: Reading, read_ns: int) -> tuple[Action, bool]:
        """Let the policy propose an action; `adopt` makes it the pending one.

        Args:
            slot: the current slot.
            reading: the reading whose observation the policy gets.
            read_ns: how long reading took, in nanoseconds.

        Returns:
            the action as the policy wishes it, and whether the whole proposal, state included, is finite.
        """
        begin_ns = self._clock.now_ns()
        self._reward[0] = self._reward_heard
        outputs = self._agent.propose(reading.observation, self._reward, self._episode_start)
        self.wished = outputs["action"][0, ...].copy()
        finite = self._session.proposal_is_finite()
        self.observed_ns = reading.stamp_ns
        timing = self.timing
        timing.slot, timing.lateness_ns, timing.read_ns = slot.index, slot.lateness_ns, read_ns
        timing.compute_ns = self._clock.now_ns() - begin_ns
        ran = zip(self._session.ran, self._graphs, strict=True)
        self.kind = "boundary" if any(ran_now and graph.every > 1 for ran_now, graph in ran) else "actor"
        if self._recorder:
            self._recorder.propose(self._agent.world, outputs, self.kind == "boundary", self._session)
        return self.wished, finite

    def adopt(self) -> None:
        """Make the proposal the pending one: it waits for its action to be applied."""
        self.pending = True
        self._reward_proposed, self._reward_heard = self._reward_heard, 0.0
        self._started_by_proposal = bool(self._episode_start[0])
        self._episode_start[0] = False

    def withdraw(self) -> None:
        """Drop the pending proposal, so that it does not become a step: its reward counts for the next step."""
        self.pending, self.kind = False, "no_step"
        self._reward_heard += self._reward_proposed
        self._episode_start[0] = self._started_by_proposal

    def commit(self, applied: Action, total_ns: int | None) -> None:
        """Make the pending proposal a step of the policy.

        Args:
            applied: the action as applied, ``[A]`` or ``[]``.
            total_ns: from the slot's time until now, in nanoseconds; None where `timing` has it already.
        """
        self._agent.commit(applied)
        self.pending = False
        if total_ns is not None:
            self.timing.total_ns = total_ns
        if self._recorder:
            self._recorder.commit(self.timing.row(), applied)

    def end_slot(self, slot: Slot, now_ns: int, tally: Tally) -> None:
        """Record that a slot is over, with or without a step; see `Recorder.slot`."""
        if self._recorder:
            timing = TickTiming(slot.index, slot.lateness_ns, total_ns=now_ns - slot.start_ns)
            self._recorder.slot(now_ns, self.kind, timing.row(), tally)

    def end(self) -> None:
        """End the run; the robot stands still."""
        if self._recorder:
            self._recorder.end(self._clock.now_ns())
