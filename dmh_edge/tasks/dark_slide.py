"""Dark slide: TODO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dmh_edge.task import ContinuousAction, Element, Reward, TaskSpec
from dmh_edge.tasks.family import ENDLESS, Task, Transition, uniform

#: Slowest and fastest deceleration of the puck by friction, in m/s^2.
SMOOTHEST, ROUGHEST = 0.5, 4.0
#: Nearest and farthest target, and the end of the puck's rail, in metres from where the puck lies at first.
NEAREST, FARTHEST, END = 0.2, 0.6, 1.0
#: The pusher's rail in metres. The puck lies at 0. Behind the end of its rail the pusher cannot touch it any more.
FIRST, LAST = -0.12, 0.015
#: Where the pusher is at first: in the middle of this range, and how far from it, in metres.
START, SPREAD = -0.1, 0.01
#: Speed of the pusher in m/s at an action of 1.
FASTEST = 1.5
#: Speed of the puck after the strike by that of the pusher before it. The strike is elastic, and the puck weighs a tenth
#: of the pusher.
STRIKE = 1.86
#: Tolerance in m/s of `surprise`.
TOLERANCE = 0.002

_HORIZON, _RATE_HZ = 100, 50
SPEC = TaskSpec(
    name="dark-slide",
    observation=(
        Element(name="pusher", low=FIRST - 0.01, high=LAST + 0.01, unit="m", frame="rail"),
        Element(name="puck", low=-0.02, high=END + 0.1, unit="m", frame="rail"),
        Element(name="pusher_velocity", low=-2 * FASTEST, high=2 * FASTEST, unit="m/s"),
        Element(name="puck_velocity", low=-4 * FASTEST, high=4 * FASTEST, unit="m/s"),
        Element(name="target", low=NEAREST, high=FARTHEST, unit="m", frame="rail"),
    ),
    action=ContinuousAction(
        elements=(Element(name="pusher_velocity", low=0, high=1, unit=f"{FASTEST} m/s"),),
        mode="velocity",
        safe=(0.0,),
    ),
    reward=Reward(meaning="minus the distance in metres between puck and target", low=-(END + 0.1 - NEAREST), high=0),
    rate_hz=_RATE_HZ,
    horizon=_HORIZON,
    target_return=-10,
)

TRAIN_IDS = tuple(range(80))
TEST_IDS = tuple(range(80, 96))


def deceleration(hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the deceleration of the puck by friction, ``[N]`` in m/s^2. Its logarithm is uniform."""
    return SMOOTHEST * (ROUGHEST / SMOOTHEST) ** uniform(hidden, 1)[:, 0]


def control(observation: NDArray[np.float32], deceleration: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return actions ``[N, 1]`` of a controller that assumes a deceleration ``[N]``.

    The puck slides ``v^2 / 2a`` far. The pusher keeps the speed that this needs until the puck is out of reach, and
    then stops.
    """
    speed = np.sqrt(2 * deceleration * observation[:, 4]) / STRIKE
    action = np.where(observation[:, 1] < LAST, np.clip(speed / FASTEST, -1, 1), 0.0)
    return action[:, None].astype(np.float32)


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return actions ``[N, 1]`` of the controller that knows the deceleration."""
    del phase
    return control(observation, deceleration(hidden))


def surprise(step: Transition, hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the square of how far the puck's new velocity is from the predicted one, in tolerances, ``[N]``.

    It says something only while the puck slides, neither in the pusher's reach nor at the end of its rail.
    """
    before, after = step.observation, step.next_observation
    slides = (before[:, 1] > 2 * LAST) & (before[:, 3] > 0.02) & (after[:, 1] < END - 0.02)
    predicted = np.maximum(before[:, 3] - deceleration(hidden) / _RATE_HZ, 0)
    return np.where(slides, ((predicted - after[:, 3]) / TOLERANCE) ** 2, 0.0)


def _vector(hidden: Sequence[int]) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    from dmh_edge.tasks import physics_vector, slide_env

    return physics_vector.PhysicsVectorEnv(slide_env.DarkSlideEnv, hidden)


gymnasium.register(SPEC.name, "dmh_edge.tasks.slide_env:DarkSlideEnv", max_episode_steps=_HORIZON)
TASK = Task(
    SPEC,
    TRAIN_IDS,
    TEST_IDS,
    _vector,
    expert,
    histories_per_task=4,
    episodes_per_history=30,
    pool=range(len(TRAIN_IDS + TEST_IDS), ENDLESS),
    surprise=surprise,
)
