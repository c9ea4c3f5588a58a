"""The environments with an arm, which is that of gymnasium's Reacher, with something hidden. Needs MuJoCo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dmh_edge.task import TaskSpec
from dmh_edge.tasks import dark_camera, dark_payload, dark_reacher
from dmh_edge.tasks.arm import FORE, STRONGEST, TEST_IDS, UPPER, draw_targets
from dmh_edge.tasks.physics_env import NO_CONTACT, PhysicsEnv, State, update

if TYPE_CHECKING:
    import mujoco

#: Speed in rad/s below which a braked joint is set to stand still.
_STANDSTILL = 1e-3
#: How far the start is from the stretched pose and from standstill, in radians, and in radians per second.
_ANGLE, _VELOCITY = 0.1, 0.005
#: Positions of the model: joint angles, and where the target is. Reacher's target has joints of its own, which do not
#: move.
_JOINTS, _TARGET = slice(0, 2), slice(2, 4)


class ArmEnv(PhysicsEnv):
    """One arm; see `PhysicsEnv` for arguments. A rendered image shows the target."""

    def __init__(self, spec: TaskSpec, hidden: int | None, **options: Any) -> None:
        super().__init__(spec, hidden, TEST_IDS, "reacher.xml", 2, **options)
        self.model.opt.disableflags |= NO_CONTACT  # none of its parts can touch another; the search for it takes time

    def prepare(self, model: mujoco.MjModel, hidden: int) -> None:
        """Leave the model as it is."""

    def start(self, data: mujoco.MjData, rng: np.random.Generator, hidden: int) -> None:
        """Put the arm near the stretched pose, as Reacher does, and the target in its place."""
        data.qpos[:] = self.init_qpos + rng.uniform(-_ANGLE, _ANGLE, len(data.qpos))
        data.qvel[:] = self.init_qvel + rng.uniform(-_VELOCITY, _VELOCITY, len(data.qvel))
        data.qpos[_TARGET], data.qvel[_TARGET] = self.place_target(rng, hidden), 0

    def place_target(self, rng: np.random.Generator, hidden: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the place of the episode's target, ``[2]``, in metres: a new one in each episode."""
        target: NDArray[np.float64] = draw_targets(rng, 1)[0]
        return target

    def show(self, state: State) -> NDArray[np.float64]:
        """Return what the arm measures of itself."""
        angle, velocity = state.position[:, _JOINTS], state.velocity[:, _JOINTS]
        return np.concatenate([np.cos(angle), np.sin(angle), velocity, fingertip(angle)], axis=1)

    def pay(self, state: State) -> NDArray[np.float64]:
        """Return minus the distance between fingertip and target."""
        way = fingertip(state.position[:, _JOINTS]) - state.position[:, _TARGET]
        distance: NDArray[np.float64] = np.linalg.norm(way, axis=1)
        return -distance

    def brake(self, keep: float) -> bool:
        """Make one step of the physics with the brakes on: motors are off, loads are held, and the joints slow down.

        Args:
            keep: share of the joints' velocities that is left after the step.

        Returns:
            whether the arm stands still.
        """
        velocity = self.data.qvel[_JOINTS]
        velocity *= keep
        velocity[np.abs(velocity) < _STANDSTILL] = 0
        if not velocity.any():
            return True
        low, high = self.model.jnt_range[1]
        self.data.qpos[_JOINTS] += velocity * self.model.opt.timestep
        self.data.qpos[1] = min(max(self.data.qpos[1], low), high)
        update(self.model, self.data)
        return False


def fingertip(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the fingertip is, ``[N, 2]`` in metres, for joint angles ``[N, 2]``."""
    shoulder, both = angle[:, 0], angle.sum(axis=1)
    x = UPPER * np.cos(shoulder) + FORE * np.cos(both)
    y = UPPER * np.sin(shoulder) + FORE * np.sin(both)
    return np.stack([x, y], axis=1)


class DarkReacherEnv(ArmEnv):
    """An arm whose target is not observed; see `PhysicsEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_reacher.SPEC, hidden, **options)
        EzPickle.__init__(self, hidden, **options)

    def place_target(self, rng: np.random.Generator, hidden: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the place of the hidden task's target, ``[2]``, in metres."""
        target: NDArray[np.float64] = dark_reacher.targets(np.array([hidden]))[0]
        return target


class DarkPayloadEnv(ArmEnv):
    """An upright arm whose payload and motor strengths are not observed; see `PhysicsEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_payload.SPEC, hidden, **options)
        EzPickle.__init__(self, hidden, **options)

    def prepare(self, model: mujoco.MjModel, hidden: int) -> None:
        """Set payload and motor strengths."""
        payload_kg, strength = (values[0] for values in dark_payload.parameters(np.array([hidden])))
        model.body_mass[model.body("fingertip").id] = payload_kg
        model.actuator_gear[:, 0] = STRONGEST * strength

    def start(self, data: mujoco.MjData, rng: np.random.Generator, hidden: int) -> None:
        """Put the arm near the stretched pose, with the weight of the payload at its fingertip."""
        super().start(data, rng, hidden)
        # The model's own gravity would also pull at the links, which are balanced, and at the target, which is a mark.
        payload_kg, _ = dark_payload.parameters(np.array([hidden]))
        data.body("fingertip").xfrc_applied[1] = -dark_payload.GRAVITY * payload_kg[0]

    def show(self, state: State) -> NDArray[np.float64]:
        """Return what the arm measures of itself, and the target."""
        return np.concatenate([super().show(state), state.position[:, _TARGET]], axis=1)


class DarkCameraEnv(ArmEnv):
    """An arm whose camera sees the target, but is mounted in an unknown way; see `PhysicsEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_camera.SPEC, hidden, **options)
        EzPickle.__init__(self, hidden, **options)

    def show(self, state: State) -> NDArray[np.float64]:
        """Return what the arm measures of itself, and the target as the camera sees it."""
        seen = dark_camera.in_camera(state.position[:, _TARGET], *dark_camera.mounting(state.hidden))
        return np.concatenate([super().show(state), seen], axis=1)

    def pay(self, state: State) -> NDArray[np.float64]:
        """Return minus the distance between fingertip and target, but 0 before the end of the episode."""
        return np.where(dark_camera.is_paid(state.time_s), super().pay(state), 0.0)
