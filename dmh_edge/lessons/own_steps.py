"""Lessons from a policy's own steps: it plays rounds of whole contexts, and imitates what a teacher advises in them.

    rounds/00012.npz      a round that is still learned from, beside the run's checkpoint

Histories that somebody else played mislead: late in them, the behaviour before a step already betrays what is hidden. A
policy that plays itself must find it out. So it acts, with its own memory from episode to episode, and every step that
it visits is labelled with the teacher's action (Ross et al., "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning", 2011). A context is learned from as it was played, all episodes in order.

What happens in a round is a pure function of the settings, the number of the round and the weights before it. A
checkpoint names the rounds that it needs by their digests, so a run that was killed at any moment goes on bit for bit.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from dmh_edge.config import OnPolicyConfig, RunConfig
from dmh_edge.data.contexts import WholeContextSampler
from dmh_edge.data.selection import validation_ids
from dmh_edge.export.pipeline import draft_contract
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.files import named_faults
from dmh_edge.learner import Learner
from dmh_edge.lessons.actors import Actor, Annealed, Student
from dmh_edge.lessons.lesson import Stage, refuse_balance
from dmh_edge.lessons.plan import Plan, Round
from dmh_edge.lessons.play import play
from dmh_edge.lessons.rounds import PlayedRound, joined
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.tasks.family import Task
from dmh_edge.tasks.teachers import teacher

#: Name of the folder with the rounds in the folder of a run.
ROUNDS_NAME = "rounds"


class OwnSteps:
    """Contexts that the policy plays itself, round by round.

    Args:
        config: settings of the run.
        settings: its ``on_policy``.
        task: the task.
        out: folder of the run.

    Attributes:
        first: the first round, in which the expert plays.
        sha256: digest of the first round: if the task changes, so does the digest.
        held_out: hidden tasks that are never drawn.
        kept: SHA-256 digests of the rounds that are learned from, by number.
        progress: share of the training that is done before an update.
        seconds: time that was spent on playing rounds.
        remark: an empty text.

    Raises:
        ConfigError: the task has no such teacher, no hidden task is left to learn from, or ``data.balance_actions`` is
            set for a task with continuous actions.
    """

    def __init__(self, config: RunConfig, settings: OnPolicyConfig, task: Task, out: Path) -> None:
        refuse_balance(config.data, task.spec)
        self.held_out = validation_ids(task.train_ids, config.data.hold_out)
        self._plan = Plan(config, settings)
        self.progress = self._plan.progress
        self.kept: dict[int, str] = {}
        self.seconds = 0.0
        self.remark = ""
        self._config, self._settings, self._task, self._folder = config, settings, task, out / ROUNDS_NAME
        self._first = self._play(self._plan.round_of(0), None)
        self._rounds: dict[int, PlayedRound] = {}
        self.first = self._first.episodes
        self.sha256 = self.first.sha256

    def stage(self, learner: Learner) -> Stage:
        """Play the round of the learner's next update, unless it was played before, and return its updates.

        Raises:
            ArtifactError: the round cannot be written.
        """
        now = self._plan.round_of(learner.step)
        if now.number not in self.kept:
            played = self._first if now.number == 0 else self._play(now, None if now.taught else learner)
            self._rounds[now.number], self.kept[now.number] = played, played.save(self._path(now.number))
        wanted = self._plan.kept(now)
        self._rounds = {number: self._rounds[number] for number in wanted}
        self.kept = {number: self.kept[number] for number in wanted}
        data = self._config.data
        sampler = WholeContextSampler(
            joined(list(self._rounds.values())),
            chunk=learner.model.chunk_steps(self._task.spec.horizon),
            target_return=self._task.spec.target_return,
            balance=data.balance_actions,
            last_only=data.learn == "last",
        )
        draw = functools.partial(sampler.draw, self._config.training.seed, batch=data.batch)
        return Stage(now.end, draw, self._rounds[now.number].returns)

    def restore(self, kept: Mapping[int, str]) -> None:
        """Read the rounds that a checkpoint names.

        Raises:
            ArtifactError: a file is missing or altered.
        """
        self.kept = dict(kept)
        self._rounds = {
            number: PlayedRound.load(self._path(number), digest, self._task.spec) for number, digest in kept.items()
        }

    def tidy(self) -> None:
        """Remove the rounds that are no longer learned from; call it after a checkpoint was saved."""
        needed = {self._path(number) for number in self.kept}
        with named_faults(self._folder):
            for path in set(self._folder.glob("*.npz")) - needed:
                path.unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npz"

    def _play(self, now: Round, learner: Learner | None) -> PlayedRound:
        """Play a round with the learner's policy or, without one, with a teacher that learns as it plays."""
        began = time.perf_counter()
        count = self._settings.contexts
        rng = np.random.default_rng((self._config.training.seed, now.number))
        draw = functools.partial(self._task.draw, rng, count, self.held_out)
        hidden = draw()
        led = np.where(rng.random(count) < self._settings.lead, rng.integers(1, now.episodes + 1, count), 0)
        actor: Actor
        if learner is None:
            actor = Annealed(self._task, hidden, now.episodes, draw, rng)
            # The expert knows what is hidden, so it shows how to search only if it is wrong at first. Other teachers
            # search themselves.
            led = np.full(count, 0 if self._settings.teacher == "expert" else now.episodes)
        else:
            actor = Student(Agent(self._session(learner, count), int(rng.integers(2**31))))
        episodes = play(
            self._task,
            hidden,
            actor,
            teacher(self._settings.teacher, self._task, hidden, rng),
            episodes=now.episodes,
            led=led,
            seed=int(rng.integers(2**31)),
        )
        if learner is None:
            led = np.full(count, now.episodes)
        else:
            learner.model.train()
        self.seconds += time.perf_counter() - began
        return PlayedRound(episodes, led)

    def _session(self, learner: Learner, robots: int) -> TorchSession:
        """Open the policy for N robots, with an empty memory. No random number of the training is used up."""
        with torch.random.fork_rng():
            contract = draft_contract(learner.checkpoint(self.sha256), self._folder, "in training")
        return TorchSession(learner.model, contract, robots)
