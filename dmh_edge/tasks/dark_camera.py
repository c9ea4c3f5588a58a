"""Dark camera: an arm whose target is seen by a camera that is mounted in an unknown way.

The camera is rotated by up to a quarter turn and lies up to 3 cm off the shoulder along each axis. Only the last 0.1 s
of an episode are paid, when it is too late to go elsewhere: an episode tells how far off the arm was, and a few of them
tell how the camera is mounted. The target changes with every episode; the hidden task, the mounting, stays the same.

This is the mean return over 48 hidden tasks of the controller below, when it goes to

    the target, knowing the mounting                                            0.00
    the target, assuming the mean mounting                                     -0.48
    the mean of all targets that are possible after this episode's rewards     -0.46
    the same, remembering all episodes; episodes 1, 2, 3, 4, 6 and 10          -0.47, -0.37, -0.22, -0.13, -0.05, -0.03

(``pytest tests/tasks/test_dark_camera.py -k worth`` measures it again.) If every step were paid, an agent could
find the target in a few steps of each episode, and memory would be worth little.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.task import Element
from dmh_edge.tasks.arm import FARTHEST, NEAREST, arm_spec, arm_task, joint_error
from dmh_edge.tasks.family import Transition, uniform

#: Largest rotation of the camera either way, in radians, and largest offset along each axis, in metres.
ROTATION, OFFSET_M = np.pi / 2, 0.03
#: Number of steps at the end of an episode that are paid.
PAID = 5
#: As in `dark_reacher`.
STIFFNESS, DAMPING = 1.0, 0.1
#: Tolerance in metres of `surprise`: the distance to the nearest of the mountings that a belief considers.
TOLERANCE_M = 0.01

_HORIZON, _RATE_HZ = 50, 50
_SEEN = FARTHEST + OFFSET_M * np.sqrt(2)
_ARM = arm_spec(
    "dark-camera",
    f"in the last {PAID} steps of an episode, minus the distance in metres between fingertip and target; else 0",
    horizon=_HORIZON,
    target_return=-0.02,
)
SPEC = _ARM.model_copy(
    update={
        "observation": (
            *_ARM.observation,
            *(Element(name=f"target_{axis}", low=-_SEEN, high=_SEEN, unit="m", frame="camera") for axis in "xy"),
        )
    }
)


def mounting(hidden: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how cameras are mounted: rotations ``[N]`` in radians, and places ``[N, 2]`` in metres, in the base frame.

    Rotations and places are uniform.
    """
    shares = 2 * uniform(hidden, 3) - 1
    return ROTATION * shares[:, 0], OFFSET_M * shares[:, 1:]


def in_camera(
    place: NDArray[np.floating], rotation: NDArray[np.float64], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return places ``[N, 2]`` of the base frame in the frame of the camera."""
    return _turned(place - origin, -rotation)


def in_base(
    place: NDArray[np.floating], rotation: NDArray[np.float64], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return places ``[N, 2]`` of the camera's frame in the base frame."""
    return _turned(place, rotation) + origin


def _turned(place: NDArray[np.floating], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = place.T
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def is_paid(time_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether steps that end at these times ``[N]`` of an episode are paid."""
    return time_s * _RATE_HZ > _HORIZON - PAID + 0.5


def control(observation: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return torques ``[N, 2]`` of a PD controller towards targets ``[N, 2]``, or the nearest places of the ring."""
    radius = np.linalg.norm(target, axis=1, keepdims=True)
    direction = np.where(radius > 0, target / np.maximum(radius, 1e-9), [1.0, 0.0])
    target = direction * np.clip(radius, NEAREST, FARTHEST)
    error, velocity = joint_error(observation, target), observation[:, 4:6]
    return np.clip(STIFFNESS * error - DAMPING * velocity, -1, 1).astype(np.float32)


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return torques ``[N, 2]`` of the controller that knows how the camera is mounted."""
    del phase
    return control(observation, in_base(observation[:, 8:10], *mounting(hidden)))


def surprise(step: Transition, hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the square of how far each reward is from minus the distance to the target, in tolerances, ``[N]``.

    A reward of exactly 0 was not paid, and says nothing.
    """
    after = step.next_observation
    distance = np.linalg.norm(after[:, 6:8] - in_base(after[:, 8:10], *mounting(hidden)), axis=1)
    return np.where(step.reward == 0, 0.0, ((step.reward + distance) / TOLERANCE_M) ** 2)


TASK = arm_task(SPEC, "DarkCameraEnv", expert, surprise, histories_per_task=4)
