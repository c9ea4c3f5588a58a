"""Darkroom: a 9x9 room without light. Somewhere is a goal that pays 1 for every step that ends on it.

An agent sees only its own cell. It starts in the centre, has 20 steps, and finds the goal by bumping into it; what
makes the task one for learning in context is that the goal stays where it is over many episodes.

Hidden task k has its goal in cell ``(k // 9, k % 9)``, column and row. The room is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dmh_edge.contract import DiscreteAction, Element, Reward, TaskSpec
from dmh_edge.tasks.task import Task

SIZE = 9
HORIZON = 20
START = (SIZE // 2, SIZE // 2)
#: Change of (x, y) per action; y grows upwards.
MOVES = np.array([[-1, 0], [1, 0], [0, 1], [0, -1], [0, 0]])
LEFT, RIGHT, UP, DOWN, STAY = range(len(MOVES))

SPEC = TaskSpec(
    name="darkroom",
    observation=tuple(Element(name=axis, low=0, high=SIZE - 1, unit="cell", levels=SIZE) for axis in "xy"),
    action=DiscreteAction(names=("left", "right", "up", "down", "stay"), safe=STAY),
    reward=Reward(meaning="1 for every step that ends on the hidden goal, else 0", low=0, high=1),
    rate_hz=50,
    horizon=HORIZON,
    target_return=HORIZON,
)

_SHUFFLED = np.random.default_rng(0).permutation(SIZE * SIZE).tolist()
TRAIN_IDS = tuple(sorted(_SHUFFLED[:65]))
TEST_IDS = tuple(sorted(_SHUFFLED[65:]))

_OBSERVATION_SPACE = Box(0, SIZE - 1, (2,), np.float32)
_ACTION_SPACE = Discrete(len(MOVES))


def goal(hidden: NDArray[np.int64]) -> NDArray[np.int64]:
    """Goal cells ``[N, 2]`` of hidden tasks ``[N]``."""
    return np.stack(np.divmod(hidden, SIZE), axis=-1)


def move(
    position: NDArray[np.int64], action: NDArray[np.int64], hidden: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The dynamics: one step of N rooms. A wall stops a move.

    Args:
        position: cells ``[N, 2]``.
        action: choices ``[N]``.
        hidden: hidden tasks ``[N]``.

    Returns:
        the next cells ``[N, 2]`` and the rewards ``[N]``.
    """
    position = np.clip(position + MOVES[action], 0, SIZE - 1)
    return position, (position == goal(hidden)).all(axis=-1).astype(np.float64)


def expert(observation: NDArray[np.float32], hidden: NDArray[np.int64]) -> NDArray[np.int64]:
    """The action ``[N]`` of a shortest path, the axis with less left to go first; on the goal, stay.

    All shortest paths pay the same to one who knows the goal; the rule between axes matters to one who imitates without
    knowing it yet. Who samples from this expert's actions, averaged over the goals still possible, runs straight along
    one axis or the other, sees most cells, and reaches a return of 15 within 20 episodes; with "x first" or "longer
    axis first" it dithers around the centre and reaches 8 (`tests/tasks/test_darkroom.py` shows the difference).
    """
    dx, dy = (goal(hidden) - observation.astype(np.int64)).T
    along_x = (dx != 0) & ((np.abs(dx) <= np.abs(dy)) | (dy == 0))
    return np.select([along_x & (dx < 0), along_x, dy > 0, dy < 0], [LEFT, RIGHT, UP, DOWN], STAY)


class DarkroomEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One room.

    Args:
        hidden: number of the hidden task. None: drawn on the first reset from those that no data set holds, and kept
            for the life of the environment, so that an agent can learn across episodes. ``info["hidden"]`` tells which.
    """

    def __init__(self, hidden: int | None = None) -> None:
        self.observation_space = _OBSERVATION_SPACE
        self.action_space = _ACTION_SPACE
        self._hidden = hidden
        self._position = np.array([START])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Back to the centre; the goal stays."""
        super().reset(seed=seed, options=options)
        drawn = int(self.np_random.choice(TEST_IDS))  # always drawn: equal seeds leave equal random states
        self._hidden = drawn if self._hidden is None else self._hidden
        self._position = np.array([START])
        return self._position[0].astype(np.float32), {"hidden": self._hidden}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One move. The horizon is kept by gymnasium's TimeLimit."""
        if self._hidden is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        hidden = np.array([self._hidden])
        self._position, reward = move(self._position, np.array([action]), hidden)
        return self._position[0].astype(np.float32), float(reward[0]), False, False, {"hidden": self._hidden}


class DarkroomVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Many rooms in one numpy step, with autoreset disabled.

    Args:
        hidden: number of the hidden task of each room.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(self, hidden: Sequence[int]) -> None:
        self.num_envs = len(hidden)
        self.single_observation_space, self.single_action_space = _OBSERVATION_SPACE, _ACTION_SPACE
        self.observation_space = batch_space(_OBSERVATION_SPACE, self.num_envs)
        self.action_space = batch_space(_ACTION_SPACE, self.num_envs)
        self._hidden = np.array(hidden, np.int64)
        self._position = np.tile(np.array(START), (self.num_envs, 1))
        self._steps = np.zeros(self.num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Back to the centre, where ``options["reset_mask"]`` is true or everywhere. There is nothing to seed."""
        super().reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._position[mask] = START
        self._steps[mask] = 0
        return self._position.astype(np.float32), {"hidden": self._hidden.copy()}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One move in every room."""
        self._position, reward = move(self._position, actions, self._hidden)
        self._steps += 1
        never = np.zeros(self.num_envs, bool)
        return self._position.astype(np.float32), reward, never, self._steps >= HORIZON, {"hidden": self._hidden.copy()}


gymnasium.register(SPEC.name, entry_point=f"{__name__}:{DarkroomEnv.__name__}", max_episode_steps=HORIZON)

TASK = Task(SPEC, TRAIN_IDS, TEST_IDS, DarkroomVectorEnv, expert, histories_per_task=1, episodes_per_history=50)
