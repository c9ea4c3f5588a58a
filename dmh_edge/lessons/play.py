"""Play a round: N contexts at once, every step labelled with what a teacher advises there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes
from dmh_edge.evaluate import roll_out
from dmh_edge.lessons.actors import Actor
from dmh_edge.task import DiscreteAction, TaskSpec
from dmh_edge.tasks.family import Task, Teacher, Transition


def play(
    task: Task,
    hidden: NDArray[np.int64],
    actor: Actor,
    teacher: Teacher,
    *,
    episodes: int,
    led: NDArray[np.int64],
    seed: int,
) -> Episodes:
    """Play whole contexts, and return their episodes; ``history`` is the number of the context.

    Args:
        task: the task.
        hidden: hidden task of each context, ``[N]``.
        actor: who acts.
        teacher: whose advice becomes the label of each step.
        episodes: episodes of each context.
        led: number of episodes at the beginning of each context in which the teacher acts instead, ``[N]``.
        seed: seed of the environments.
    """
    tape = _Tape(len(hidden), episodes)

    def choose(
        observation: NDArray[np.float32],
        reward: NDArray[np.float32],
        start: NDArray[np.bool_],
        phase: NDArray[np.int64],
    ) -> NDArray[Any]:
        advice = teacher.advise(observation, phase)
        action = actor.act(observation, reward, start, phase)
        leading = tape.finished < led
        action = np.where(leading.reshape(-1, *[1] * (action.ndim - 1)), advice, action).astype(action.dtype)
        actor.commit(action)
        tape.advice.append(advice)
        return action

    def watch(step: Transition) -> None:
        teacher.observe(step)
        tape.record(step)

    environments = task.vector(hidden.tolist())
    try:
        roll_out(environments, choose, episodes, seed, watch)
    finally:
        environments.close()
    return tape.episodes_of(task.spec, hidden)


class _Tape:
    """Records N rows of steps that go on until each has played its episodes."""

    def __init__(self, count: int, episodes: int) -> None:
        self.finished = np.zeros(count, np.int64)
        self.advice: list[NDArray[Any]] = []
        self._episodes = episodes
        self._steps: list[Transition] = []
        self._counts: list[NDArray[np.bool_]] = []

    def record(self, step: Transition) -> None:
        self._steps.append(step)
        self._counts.append(self.finished < self._episodes)
        self.finished += step.over

    def episodes_of(self, spec: TaskSpec, hidden: NDArray[np.int64]) -> Episodes:
        """Return what counts, context after context."""
        counts = np.stack(self._counts, 1)  # [N, T]

        def flat(columns: list[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
            return np.stack(columns, 1)[counts].astype(dtype)

        action_type = np.int64 if isinstance(spec.action, DiscreteAction) else np.float32
        ends = np.flatnonzero(flat([step.over for step in self._steps], np.bool_))
        final = flat([step.next_observation for step in self._steps], np.float32)[ends]
        observation = flat([step.observation for step in self._steps], np.float32)
        row = np.repeat(np.arange(len(hidden)), self._episodes)
        return Episodes(
            spec=spec,
            observation=np.insert(observation, ends + 1, final, axis=0),
            action=flat([step.action for step in self._steps], action_type),
            expert_action=flat(self.advice, action_type),
            reward=flat([step.reward for step in self._steps], np.float32),
            terminated=np.zeros(len(row), np.bool_),
            hidden=hidden[row],
            history=row,
            number=np.tile(np.arange(self._episodes), len(hidden)),
            length=np.diff(ends, prepend=-1),
        )
