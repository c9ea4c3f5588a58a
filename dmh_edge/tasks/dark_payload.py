"""Dark payload: an arm that observes its target, but neither the payload it carries nor the strength of its motors.

The arm stands upright and its own links are balanced. The payload at its fingertip pulls downwards and makes it slow to
turn. The target changes with every episode; the hidden task, payload and motor strengths, stays the same.

What is hidden matters. This is the mean return of the controller below over all 96 hidden tasks, when it assumes

    the true values                             -3.3
    the mean of all possible values             -5.4
    the values of some other hidden task        -6.0
    no payload and motors as good as new        -9.5

(``pytest tests/tasks/test_dark_payload.py -k matters`` measures it again). The way to the target costs about 3 in each
row. The rest is the cost of wrong assumptions, with which the arm comes to rest beside the target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.tasks.arm import FORE, HIDDEN_TASKS, STRONGEST, UPPER, arm_spec, arm_task, joint_error, tabulated
from dmh_edge.tasks.family import Transition, uniform

#: Acceleration of gravity along -y, in m/s^2.
GRAVITY = 9.81
#: Heavy for an arm of 21 cm, but its motors turn a rotor of 1 kg m^2 with 200 N m: a light payload would not matter.
HEAVIEST_KG = 40.0
#: Remaining share of torque of the weakest motor: just enough to hold the heaviest payload at the farthest target.
WEAKEST = 0.4
#: Torque in N m per radian of error, and per radian per second. With higher values the return is better, and what is
#: hidden matters less: with 200 and 25 the true values give -2.6 and the mean values -3.4.
STIFFNESS, DAMPING = 80.0, 15.0
#: Tolerance in rad/s of `surprise`. A full torque changes a velocity by up to 4 rad/s in one step. The tolerance covers
#: the error of the prediction and the distance to the nearest parameters that a belief considers.
TOLERANCE = 0.05
#: Angle in radians of the elbow from which on `surprise` says nothing: its stop at 3 may have been hit.
_NEAR_STOP = 2.9

SPEC = arm_spec(
    "dark-payload",
    "minus the distance in metres between fingertip and target",
    horizon=100,  # two seconds; the way to the target takes half a second, also for the expert
    target_return=-3.3,
    shown=("target",),
)

_RNG = np.random.default_rng(0)
PAYLOAD_KG = _RNG.uniform(0, HEAVIEST_KG, HIDDEN_TASKS)
#: Strength of shoulder and elbow motor, ``[96, 2]``: torque as a share of that of a motor in good condition.
STRENGTH = _RNG.uniform(WEAKEST, 1, (HIDDEN_TASKS, 2))


def parameters(hidden: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return payloads ``[N]`` in kg and motor strengths ``[N, 2]``: the first 96 are listed, the others computed."""
    shares = uniform(hidden, 3)
    payload_kg = tabulated(PAYLOAD_KG, hidden, HEAVIEST_KG * shares[:, 0])
    return payload_kg, tabulated(STRENGTH, hidden, WEAKEST + (1 - WEAKEST) * shares[:, 1:])


def control(
    observation: NDArray[np.float32], payload_kg: NDArray[np.float64], strength: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return actions ``[N, 2]`` of a PD controller that assumes payloads ``[N]`` and motor strengths ``[N, 2]``."""
    error, velocity = joint_error(observation, observation[:, 8:10]), observation[:, 4:6]
    shoulder = np.arctan2(observation[:, 2], observation[:, 0])
    fingertip_x = observation[:, 6]
    lever = np.stack([fingertip_x, fingertip_x - UPPER * np.cos(shoulder)], axis=-1)  # horizontal, in metres
    torque = STIFFNESS * error - DAMPING * velocity + GRAVITY * payload_kg[:, None] * lever
    action: NDArray[np.float64] = np.clip(torque / (STRONGEST * strength), -1, 1)
    return action.astype(np.float32)


def expert(
    observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return actions ``[N, 2]`` of the controller that knows payload and motor strengths."""
    del phase
    return control(observation, *parameters(hidden))


def surprise(step: Transition, hidden: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the square of how far the joints' new velocities are from the predicted ones, in tolerances, ``[N]``.

    The prediction uses the equation of motion in the middle of the step, whose state both observations show::

        (1 + m J'J) dv/dt = torque - v + J' (gravity - m a)

    1 is the rotors' inertia in kg m^2, m the payload, J the Jacobian of the fingertip and a its acceleration at
    constant velocities. The links weigh too little to matter.
    """
    payload_kg, strength = parameters(hidden)
    before, after = step.observation, step.next_observation
    turned = np.arctan2(after[:, 2:4], after[:, 0:2]) - np.arctan2(before[:, 2:4], before[:, 0:2])
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    shoulder, elbow = (np.arctan2(before[:, 2:4], before[:, 0:2]) + turned / 2).T
    velocity = (before[:, 4:6] + after[:, 4:6]) / 2
    first = UPPER * np.stack([np.cos(shoulder), np.sin(shoulder)])  # [2, N]: upper arm, in metres
    second = FORE * np.stack([np.cos(shoulder + elbow), np.sin(shoulder + elbow)])  # forearm
    tip = first + second
    columns = np.array([[-tip[1], tip[0]], [-second[1], second[0]]])  # [joint, axis, N]: J transposed
    acceleration = -first * velocity[:, 0] ** 2 - second * velocity.sum(axis=1) ** 2  # [2, N]
    force = payload_kg * (np.array([[0.0], [-GRAVITY]]) - acceleration)
    torque = STRONGEST * strength * step.action - velocity + np.einsum("jan,an->nj", columns, force)
    inertia = payload_kg * np.einsum("ian,jan->ijn", columns, columns) + np.eye(2)[..., None]
    determinant = inertia[0, 0] * inertia[1, 1] - inertia[0, 1] ** 2
    change = np.stack(
        [
            inertia[1, 1] * torque[:, 0] - inertia[0, 1] * torque[:, 1],
            inertia[0, 0] * torque[:, 1] - inertia[0, 1] * torque[:, 0],
        ],
        axis=-1,
    )
    predicted = before[:, 4:6] + change / determinant[:, None] / SPEC.rate_hz
    missed = (((predicted - after[:, 4:6]) / TOLERANCE) ** 2).sum(axis=-1)
    return np.where(np.abs(elbow) < _NEAR_STOP, missed, 0.0)


TASK = arm_task(SPEC, "DarkPayloadEnv", expert, surprise, histories_per_task=1)
