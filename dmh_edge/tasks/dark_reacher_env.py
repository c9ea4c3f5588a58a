"""The environment of `dark_reacher`: gymnasium's Reacher with a target that is given and not shown. Needs MuJoCo."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dmh_edge.errors import MissingExtraError
from dmh_edge.tasks.dark_reacher import SPEC, TARGETS, TEST_IDS

if importlib.util.find_spec("mujoco") is None:
    raise MissingExtraError("mujoco", "mujoco", f"the task {SPEC.name!r}")
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv


class DarkReacherEnv(ReacherEnv):
    """One arm.

    Args:
        hidden: number of the hidden task. None: drawn on the first reset from those that no data set holds, and kept
            for the life of the environment, so that an agent can learn across episodes. ``info["hidden"]`` tells which.
        options: what gymnasium's Reacher takes, e.g. ``render_mode``. A rendered image shows the target.
    """

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        self._hidden = hidden
        super().__init__(reward_control_weight=0, **options)
        EzPickle.__init__(self, hidden, **options)
        low, high = ([getattr(element, side) for element in SPEC.observation] for side in ("low", "high"))
        self.observation_space = Box(np.array(low, np.float32), np.array(high, np.float32))

    def reset_model(self) -> NDArray[Any]:
        """Near the stretched pose, as Reacher does; the target stays."""
        drawn = int(self.np_random.choice(TEST_IDS))  # always drawn: equal seeds leave equal random states
        self._hidden = drawn if self._hidden is None else self._hidden
        position = self.init_qpos + self.np_random.uniform(-0.1, 0.1, self.model.nq)
        velocity = self.init_qvel + self.np_random.uniform(-0.005, 0.005, self.model.nv)
        position[2:], velocity[2:] = TARGETS[self._hidden], 0
        self.set_state(position, velocity)  # type: ignore[no-untyped-call]
        return self._get_obs()

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[Any], np.float64, bool, bool, dict[str, Any]]:
        """Two simulation steps of 0.01 s under one pair of torques."""
        observation, reward, terminated, truncated, _ = super().step(action)  # type: ignore[no-untyped-call]
        return observation, reward, terminated, truncated, self._get_reset_info()

    def _get_reset_info(self) -> dict[str, Any]:
        return {"hidden": self._hidden}

    def _get_obs(self) -> NDArray[np.float32]:
        angle, velocity = self.data.qpos[:2], self.data.qvel[:2]
        fingertip = self.get_body_com("fingertip")[:2]  # type: ignore[no-untyped-call]
        return np.concatenate([np.cos(angle), np.sin(angle), velocity, fingertip]).astype(np.float32)
