"""Dark reacher: an arm whose target is not observed. It must be found from the reward alone.

The target of a hidden task stays the same over many episodes; the rewards at three places determine where it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.tasks.arm import HIDDEN_TASKS, arm_spec, arm_task, draw_targets, joint_error

#: Torque (1: full torque of the motor) per radian of error, and per radian per second. Three times the stiffness would
#: raise the return from -1.5 to -1.3, but would be harder to imitate: small errors become large torques.
STIFFNESS, DAMPING = 1.0, 0.1

SPEC = arm_spec(
    "dark-reacher",
    "minus the distance in metres between fingertip and hidden target",
    horizon=50,
    target_return=-1.5,
)

TARGETS = draw_targets(np.random.default_rng(0), HIDDEN_TASKS)


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return torques ``[N, 2]`` of a PD controller towards the pose that reaches the target."""
    del phase
    error, velocity = joint_error(observation, TARGETS[hidden]), observation[:, 4:6]
    return np.clip(STIFFNESS * error - DAMPING * velocity, -1, 1).astype(np.float32)


TASK = arm_task(SPEC, "DarkReacherEnv", expert, histories_per_task=4)
