"""Dark reacher: an arm whose target is not observed. It must be found from the reward alone.

The target of a hidden task stays the same over many episodes; the rewards at three places determine where it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.tasks.arm import HIDDEN_TASKS, arm_spec, arm_task, draw_targets, in_ring, joint_error, tabulated
from dmh_edge.tasks.family import Transition, uniform

#: Torque (1: full torque of the motor) per radian of error, and per radian per second. Three times the stiffness would
#: raise the return from -1.5 to -1.3, but would be harder to imitate: small errors become large torques.
STIFFNESS, DAMPING = 1.0, 0.1
#: Tolerance in metres of `surprise`. Rewards have no noise. The tolerance is the distance to the nearest of the targets
#: that a belief considers, so that this one remains possible.
TOLERANCE_M = 0.005

SPEC = arm_spec(
    "dark-reacher",
    "minus the distance in metres between fingertip and hidden target",
    horizon=50,
    target_return=-1.5,
)

TARGETS = draw_targets(np.random.default_rng(0), HIDDEN_TASKS)


def targets(hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the target of each hidden task, ``[N, 2]`` in metres: the first 96 are listed, the others computed."""
    return tabulated(TARGETS, hidden, in_ring(uniform(hidden, 2)))


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return torques ``[N, 2]`` of a PD controller towards the pose that reaches the target."""
    del phase
    error, velocity = joint_error(observation, targets(hidden)), observation[:, 4:6]
    return np.clip(STIFFNESS * error - DAMPING * velocity, -1, 1).astype(np.float32)


def surprise(step: Transition, hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the square of how far each reward is from minus the distance to the target, in tolerances, ``[N]``."""
    distance = np.linalg.norm(step.next_observation[:, 6:8] - targets(hidden), axis=-1)
    missed: NDArray[np.float64] = ((distance + step.reward) / TOLERANCE_M) ** 2
    return missed


TASK = arm_task(SPEC, "DarkReacherEnv", expert, surprise, histories_per_task=4)
