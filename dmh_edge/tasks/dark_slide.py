"""Dark slide: a pusher strikes a puck, which slides to a stop. The target is observed, and the friction is not.

The puck lies at the end of the pusher's rail: once struck, it is out of reach. The pusher cannot move backwards. What
an episode shows of the friction comes too late for it, so that an agent must remember it from the episode before. The
target changes with every episode; the hidden task, the deceleration by friction, stays the same.

This is the mean return over all 96 hidden tasks of the controller below, when it

    knows the deceleration                                                             -9.3
    assumes what is best for an agent that knows nothing, 1.35 m/s^2                   -19.8
    taps the puck first, measures, and strikes with what is left of the rail          -23.0
    remembers what it measured in the episode before; episodes 1, 2 and 3             -19.6, -9.5, -9.3

(``pytest tests/tasks/test_dark_slide.py -k worth`` measures it again). The way to the target costs 9 in each row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.task import ContinuousAction, Element, Reward, TaskSpec
from dmh_edge.tasks.family import ENDLESS, Task, Transition, uniform
from dmh_edge.tasks.physics import register

#: Lowest and highest deceleration of the puck by friction, in m/s^2.
SMOOTHEST, ROUGHEST = 0.5, 4.0
#: Nearest and farthest target, and the end of the puck's rail, in metres from where the puck lies at first.
NEAREST, FARTHEST, END = 0.2, 0.6, 1.0
#: The pusher's rail in metres. The puck lies at 0. Behind the end of its rail the pusher cannot touch it any more.
FIRST, LAST = -0.12, 0.015
#: Where the pusher is at first: in the middle of this range, and how far from it, in metres.
START, SPREAD = -0.1, 0.01
#: Speed of the pusher in m/s at an action of 1.
FASTEST = 1.5
#: Speed of the puck after the strike by that of the pusher before it. The strike is elastic, and the puck weighs a
#: tenth of what the pusher weighs.
STRIKE = 1.86
#: Tolerance in m/s of `surprise`. Friction changes the velocity by 0.01 to 0.08 m/s in one step. The tolerance covers
#: the distance to the nearest deceleration that a belief considers.
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
    target_return=-9.3,
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


TASK = Task(
    SPEC,
    TRAIN_IDS,
    TEST_IDS,
    register(SPEC, "dmh_edge.tasks.slide_env:DarkSlideEnv"),
    expert,
    histories_per_task=4,
    episodes_per_history=30,
    pool=range(len(TRAIN_IDS + TEST_IDS), ENDLESS),
    surprise=surprise,
)
