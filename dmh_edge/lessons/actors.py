"""Who acts in a round: the policy that is being trained, or an expert that is often wrong about what is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.generate import BELIEFS_PER_EPISODE
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.tasks.family import Task


class Actor(Protocol):
    """Chooses the actions of N contexts at once."""

    def act(
        self,
        observation: NDArray[np.float32],
        reward: NDArray[np.float32],
        start: NDArray[np.bool_],
        phase: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Propose actions ``[N, A]`` or ``[N]``; the arguments are those of `evaluate.Chooser`."""
        ...

    def commit(self, applied: NDArray[Any]) -> None:
        """Take note of the actions that were made; some can be a teacher's."""
        ...


class Student:
    """The policy: it acts on its own memory, which lasts from episode to episode.

    Args:
        agent: the policy for N robots, with an empty memory.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def act(
        self,
        observation: NDArray[np.float32],
        reward: NDArray[np.float32],
        start: NDArray[np.bool_],
        phase: NDArray[np.int64],  # noqa: ARG002 (it does not see the phase)
    ) -> NDArray[Any]:
        """Propose actions."""
        action: NDArray[Any] = self._agent.propose(observation, reward, start)["action"].copy()
        return action

    def commit(self, applied: NDArray[Any]) -> None:
        """Keep the memory of this step."""
        self._agent.commit(applied)


class Annealed:
    """An expert that believes in a wrong hidden task, less and less often from episode to episode.

    Args:
        task: the task.
        hidden: the true hidden tasks, ``[N]``.
        episodes: number of episodes that will be played.
        draw: draws hidden tasks to believe in, ``[N]``.
        rng: random generator of everything else.
    """

    def __init__(
        self,
        task: Task,
        hidden: NDArray[np.int64],
        episodes: int,
        draw: Callable[[], NDArray[np.int64]],
        rng: np.random.Generator,
    ) -> None:
        self._task, self._hidden, self._draw, self._rng = task, hidden, draw, rng
        count = len(hidden)
        self._noise = np.sort(rng.random((count, episodes)), axis=1)[:, ::-1]
        self._episode = np.full(count, -1)
        self._belief = hidden.copy()

    def act(
        self,
        observation: NDArray[np.float32],
        reward: NDArray[np.float32],  # noqa: ARG002 (its mistakes are on purpose)
        start: NDArray[np.bool_],
        phase: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Act as the expert would in the believed hidden tasks."""
        self._episode += start
        count = len(start)
        doubts = start | (self._rng.random(count) < BELIEFS_PER_EPISODE / self._task.spec.horizon)
        now = np.minimum(self._episode, self._noise.shape[1] - 1)
        wrong = self._rng.random(count) < self._noise[np.arange(count), now]
        believed = np.where(wrong, self._draw(), self._hidden)
        self._belief = np.where(doubts, believed, self._belief)
        return self._task.expert(observation, self._belief, phase)

    def commit(self, applied: NDArray[Any]) -> None:
        """Do nothing: it has no memory."""
