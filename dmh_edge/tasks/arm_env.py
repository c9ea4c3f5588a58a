"""The environments of `dark_reacher` and `dark_payload`: gymnasium's Reacher with something hidden. Needs MuJoCo.

As in gymnasium, `ArmEnv.step` advances an environment by one control period. For a robot in real time, `ArmEnv.advance`
or `ArmEnv.brake` advances it by one step of the physics, and `ArmEnv.look` returns what it then observes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dmh_edge.errors import MissingExtraError
from dmh_edge.extras import is_installed
from dmh_edge.task import TaskSpec, bounds_of
from dmh_edge.tasks import dark_payload, dark_reacher
from dmh_edge.tasks.arm import STRONGEST, TEST_IDS, draw_targets
from dmh_edge.tasks.family import ENDLESS, require_hidden

if not is_installed("mujoco"):
    raise MissingExtraError("mujoco", "mujoco", "a task with an arm")
import mujoco
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv

#: Speed in rad/s below which a braked joint is set to stand still.
_STANDSTILL = 1e-3


class ArmEnv(ReacherEnv):
    """One arm.

    Args:
        spec: spec of the task.
        hidden: number of the hidden task. None: it is drawn at the first reset from those that no data set holds, and
            kept for the life of the environment, so that an agent can learn across episodes. ``info["hidden"]`` is its
            number.
        options: options of gymnasium's Reacher, e.g. ``render_mode``. A rendered image shows the target.

    Raises:
        ConfigError: there is no such hidden task.
    """

    def __init__(self, spec: TaskSpec, hidden: int | None, **options: Any) -> None:
        if hidden is not None:
            require_hidden(spec.name, hidden, ENDLESS)
        self._hidden = hidden
        super().__init__(reward_control_weight=0, **options)
        self.observation_space = Box(*bounds_of(spec.observation, np.float32))

    def reset_model(self) -> NDArray[Any]:
        """Put the arm near the stretched pose, as Reacher does; the hidden task stays the same."""
        drawn = int(self.np_random.choice(TEST_IDS))  # always drawn: equal seeds leave equal random states
        self._hidden = drawn if self._hidden is None else self._hidden
        position = self.init_qpos + self.np_random.uniform(-0.1, 0.1, self.model.nq)
        velocity = self.init_qvel + self.np_random.uniform(-0.005, 0.005, self.model.nv)
        position[2:], velocity[2:] = self._prepare(self._hidden), 0
        self.set_state(position, velocity)  # type: ignore[no-untyped-call]
        return self._get_obs()

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[Any], np.float64, bool, bool, dict[str, Any]]:
        """Make two simulation steps of 0.01 s with one pair of torques."""
        observation, reward, terminated, truncated, _ = super().step(action)  # type: ignore[no-untyped-call]
        return observation, reward, terminated, truncated, self._get_reset_info()

    def look(self) -> tuple[NDArray[np.float32], float]:
        """Return the arm's present observation ``[S]``, and the reward for its present distance."""
        reward, _ = self._get_rew(np.zeros(2))  # type: ignore[no-untyped-call]  # torques cost nothing here
        return self._get_obs(), float(reward)

    def advance(self, action: NDArray[np.floating]) -> None:
        """Make one step of the physics, ``model.opt.timestep`` seconds, with a pair of torques ``[2]``."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data)
        mujoco.mj_kinematics(self.model, self.data)  # updates the place of the fingertip

    def brake(self, keep: float) -> bool:
        """Make one step of the physics with the brakes on: motors are off, loads are held, and the joints slow down.

        Args:
            keep: share of the joints' velocities that is left after the step.

        Returns:
            whether the arm stands still.
        """
        velocity = self.data.qvel[:2]
        velocity *= keep
        velocity[np.abs(velocity) < _STANDSTILL] = 0
        if not velocity.any():
            return True
        low, high = self.model.jnt_range[1]
        self.data.qpos[:2] += velocity * self.model.opt.timestep
        self.data.qpos[1] = min(max(self.data.qpos[1], low), high)
        mujoco.mj_forward(self.model, self.data)
        return False

    def _prepare(self, hidden: int) -> NDArray[np.float64]:
        """Set the arm up for a hidden task, and return the place of the episode's target."""
        raise NotImplementedError

    def _get_reset_info(self) -> dict[str, Any]:
        return {"hidden": self._hidden}

    def _get_obs(self) -> NDArray[np.float32]:
        angle, velocity = self.data.qpos[:2], self.data.qvel[:2]
        fingertip = self.get_body_com("fingertip")[:2]  # type: ignore[no-untyped-call]
        return np.concatenate([np.cos(angle), np.sin(angle), velocity, fingertip]).astype(np.float32)


class DarkReacherEnv(ArmEnv):
    """An arm whose target is not observed; see `ArmEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_reacher.SPEC, hidden, **options)
        EzPickle.__init__(self, hidden, **options)

    def _prepare(self, hidden: int) -> NDArray[np.float64]:
        target: NDArray[np.float64] = dark_reacher.targets(np.array([hidden]))[0]
        return target


class DarkPayloadEnv(ArmEnv):
    """An upright arm whose payload and motor strengths are not observed; see `ArmEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_payload.SPEC, hidden, **options)
        EzPickle.__init__(self, hidden, **options)

    def _prepare(self, hidden: int) -> NDArray[np.float64]:
        payload_kg, strength = (values[0] for values in dark_payload.parameters(np.array([hidden])))
        fingertip = self.model.body("fingertip").id
        self.model.body_mass[fingertip] = payload_kg
        self.model.actuator_gear[:, 0] = STRONGEST * strength
        # The model's own gravity would also pull at the links, which are balanced, and at the target, which is a mark.
        self.data.xfrc_applied[fingertip, 1] = -dark_payload.GRAVITY * payload_kg
        target: NDArray[np.float64] = draw_targets(self.np_random, 1)[0]
        return target

    def _get_obs(self) -> NDArray[np.float32]:
        return np.concatenate([super()._get_obs(), self.data.qpos[2:]]).astype(np.float32)
