"""Walkers on a grid: tasks whose state is a cell, a phase and a clock, N at once in numpy, as gymnasium environments.

A `Grid` holds the rules of a task as pure functions of arrays; a `GridVectorEnv` owns the arrays; a `GridEnv` is a
`GridVectorEnv` with one row.

    position [N, 2]     cell (x, y); y grows upwards
    phase [N]           stages of the episode that are done
    time [N]            steps taken in the episode
    hidden [N]          number of the hidden task
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dmh_edge.task import TaskSpec, bounds_of
from dmh_edge.tasks.family import Expert, Task, require_hidden

Ints = NDArray[np.int64]
Information = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The rules of a task on a grid.

    Attributes:
        spec: spec of the task.
        hidden_tasks: number of hidden tasks.
        start: the cell where every episode starts.
        move: ``(position, phase, time, action, hidden) -> (position, phase, reward [N])``: one step; ``time`` is the
            clock after it.
        show: ``(position, time, hidden) -> observation [N, S]`` float32.
        horizon: ``hidden -> steps of an episode [N]``, at most the spec's horizon; None if all hidden tasks have that
            horizon.
    """

    spec: TaskSpec
    hidden_tasks: int
    start: tuple[int, int]
    move: Callable[[Ints, Ints, Ints, Ints, Ints], tuple[Ints, Ints, NDArray[np.float64]]]
    show: Callable[[Ints, Ints, Ints], NDArray[np.float32]]
    horizon: Callable[[Ints], Ints] | None = None


class GridVectorEnv(VectorEnv[NDArray[np.float32], Ints, NDArray[Any]]):
    """Many walkers in one numpy step, with autoreset disabled.

    Args:
        grid: rules of the task.
        hidden: number of the hidden task of each walker.

    Raises:
        ConfigError: there is no such hidden task.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(self, grid: Grid, hidden: Sequence[int]) -> None:
        self._grid = grid
        for number in hidden:
            require_hidden(grid.spec.name, number, grid.hidden_tasks)
        self._hidden = np.array(hidden, np.int64)
        self.num_envs = len(hidden)
        self._horizon = grid.horizon(self._hidden) if grid.horizon else grid.spec.horizon
        self.single_observation_space = Box(*bounds_of(grid.spec.observation, np.float32))
        self.single_action_space = Discrete(grid.spec.action.size)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._position = np.tile(np.array(grid.start), (self.num_envs, 1))
        self._phase, self._time = np.zeros((2, self.num_envs), np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Information]:
        """Put walkers back to the start: those where ``options["reset_mask"]`` is true, or all. Nothing is random."""
        super().reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._position[mask] = self._grid.start
        self._phase[mask] = 0
        self._time[mask] = 0
        return self._grid.show(self._position, self._time, self._hidden), self._information()

    def step(
        self, actions: Ints
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Information]:
        """Make one step of every walker; an episode ends only when its time is over."""
        self._time += 1
        self._position, self._phase, reward = self._grid.move(
            self._position, self._phase, self._time, actions, self._hidden
        )
        truncated = self._time >= self._horizon
        observation = self._grid.show(self._position, self._time, self._hidden)
        return observation, reward, np.zeros(self.num_envs, bool), truncated, self._information()

    def _information(self) -> Information:
        return {"hidden": self._hidden.copy(), "phase": self._phase.copy()}


class GridEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One walker: a `GridVectorEnv` with one row.

    Args:
        task: name of the task.
        hidden: number of the hidden task. None: it is drawn at the first reset from those that no data set holds, and
            kept for the life of the environment, so that an agent can learn across episodes. ``info["hidden"]`` is its
            number.

    Raises:
        ConfigError: there is no such hidden task.
    """

    def __init__(self, task: str, hidden: int | None = None) -> None:
        from dmh_edge import tasks  # here, because `tasks` imports this module

        self._task = tasks.find(task)
        self._hidden = hidden
        self._row = self._task.vector([self._task.test_ids[0] if hidden is None else hidden])
        self.observation_space, self.action_space = self._row.single_observation_space, self._row.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Information]:
        """Put the walker back to the start; the hidden task stays the same."""
        super().reset(seed=seed, options=options)
        drawn = int(self.np_random.choice(self._task.test_ids))  # always drawn: equal seeds leave equal random states
        if self._hidden is None:
            self._hidden, self._row = drawn, self._task.vector([drawn])
        observation, information = self._row.reset()
        return observation[0], _of_one(information)

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, Information]:
        """Make one step."""
        if self._hidden is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        observation, reward, terminated, truncated, information = self._row.step(np.array([action]))
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _of_one(information)


def _of_one(information: Information) -> Information:
    return {name: int(values[0]) for name, values in information.items()}


def register(name: str, task: str, horizon: int) -> None:
    """Register the walker of a task with gymnasium under a name."""
    if name not in gymnasium.registry:
        entry_point = f"{GridEnv.__module__}:{GridEnv.__name__}"
        gymnasium.register(name, entry_point, max_episode_steps=horizon, kwargs={"task": task})


def grid_task(
    grid: Grid,
    train_ids: tuple[int, ...],
    test_ids: tuple[int, ...],
    expert: Expert,
    histories_per_task: int,
    episodes_per_history: int,
) -> Task:
    """Return a task on a grid, and register its walker with gymnasium under the name of the spec."""
    register(grid.spec.name, grid.spec.name, grid.spec.horizon)
    return Task(
        spec=grid.spec,
        train_ids=train_ids,
        test_ids=test_ids,
        vector=functools.partial(GridVectorEnv, grid),
        expert=expert,
        histories_per_task=histories_per_task,
        episodes_per_history=episodes_per_history,
    )
