"""Dark payload: an arm that sees its target, and knows neither what it carries nor how weak its motors have become.

The arm stands upright, its own links balanced; the payload at its fingertip pulls downwards and makes it slow to turn.
Targets change with every episode; payload and strengths, which make a hidden task, stay.

What is hidden matters. Mean return over all 96 hidden tasks of the controller below, when it assumes

    the truth                                   -3.3
    the mean of all possible values             -5.4
    the truth of some other hidden task         -6.0
    no payload and motors as good as new        -9.5

(``pytest tests/tasks/test_dark_payload.py -k matters`` measures it again). The way to the target costs about 3 in each
row; the rest comes from a controller with wrong assumptions, which comes to rest beside the target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.tasks.arm import HIDDEN_TASKS, STRONGEST, UPPER, arm_spec, arm_task, joint_error

#: Acceleration of gravity along -y, in m/s^2.
GRAVITY = 9.81
#: Much for an arm of 21 cm, but its motors turn a rotor of 1 kg m^2 with 200 N m: less would make no difference.
HEAVIEST_KG = 40.0
#: Share of its torque that the weakest motor has left: just enough to hold the heaviest payload at the farthest target.
WEAKEST = 0.4
#: Torque in N m per radian of error and per radian per second. Stiffer is better, and what is hidden matters less: with
#: 200 and 25 the truth earns -2.6 and the mean -3.4.
STIFFNESS, DAMPING = 80.0, 15.0

SPEC = arm_spec(
    "dark-payload",
    "minus the distance in metres between fingertip and target",
    horizon=100,  # two seconds: the way takes the first half second, whatever is known
    target_return=-3.3,
    shown=("target",),
)

_RNG = np.random.default_rng(0)
PAYLOAD_KG = _RNG.uniform(0, HEAVIEST_KG, HIDDEN_TASKS)
#: Strength of shoulder and elbow, ``[96, 2]``: torque as a share of a sound motor's.
STRENGTH = _RNG.uniform(WEAKEST, 1, (HIDDEN_TASKS, 2))


def control(
    observation: NDArray[np.float32], payload_kg: NDArray[np.float64], strength: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Actions ``[N, 2]`` of a PD controller that holds up a payload ``[N]`` with motors of some strength ``[N, 2]``."""
    error, velocity = joint_error(observation, observation[:, 8:10]), observation[:, 4:6]
    shoulder = np.arctan2(observation[:, 2], observation[:, 0])
    fingertip_x = observation[:, 6]
    lever = np.stack([fingertip_x, fingertip_x - UPPER * np.cos(shoulder)], axis=-1)  # from each joint, level
    torque = STIFFNESS * error - DAMPING * velocity + GRAVITY * payload_kg[:, None] * lever
    action: NDArray[np.float64] = np.clip(torque / (STRONGEST * strength), -1, 1)
    return action.astype(np.float32)


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Actions ``[N, 2]`` of the controller that knows payload and strengths."""
    del phase
    return control(observation, PAYLOAD_KG[hidden], STRENGTH[hidden])


TASK = arm_task(SPEC, "DarkPayloadEnv", expert, histories_per_task=1)
