"""The arm of two tasks: gymnasium's two-joint Reacher, with what an agent observes and how its motors are driven.

The observation is what an arm can measure of itself: joint angles (as cosine and sine), joint velocities and the place
of its fingertip. The action is two torques, at 50 Hz. An episode starts near the stretched pose. The reward is minus
the distance between fingertip and target at the end of each step, in metres. Reacher's cost of control is left out: it
says nothing about what is hidden, and a memory that reads rewards but no actions could not separate it from the
distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmh_edge.task import ContinuousAction, Element, Reward, TaskSpec
from dmh_edge.tasks.family import ENDLESS, Expert, Surprise, Task
from dmh_edge.tasks.physics import register

#: Lengths of upper arm, and of forearm up to the fingertip, in metres.
UPPER, FORE = 0.1, 0.11
REACH = UPPER + FORE
#: Targets lie in a ring, in metres from the shoulder: nearer targets would need a fold that the elbow cannot make.
NEAREST, FARTHEST = 0.05, 0.2
#: Torque of a motor in good condition at an action of 1, in N m.
STRONGEST = 200.0

#: Speed in rad/s at which full torque equals the joint's own damping (1 N m s/rad): no joint can turn faster.
_FASTEST = 200.0
_JOINTS = ("shoulder", "elbow")

#: Hidden tasks to learn from, and hidden tasks that no data set holds. Their parameters are listed in a table.
TRAIN_IDS = tuple(range(80))
TEST_IDS = tuple(range(80, 96))
HIDDEN_TASKS = len(TRAIN_IDS + TEST_IDS)
#: The other hidden tasks have parameters that are a function of the number; see `family.uniform`.
POOL = range(HIDDEN_TASKS, ENDLESS)


def arm_spec(name: str, reward: str, horizon: int, target_return: float, shown: Sequence[str] = ()) -> TaskSpec:
    """Return the spec of a task with this arm; ``shown`` names places that are observed beside the fingertip's."""
    return TaskSpec(
        name=name,
        observation=(
            *(Element(name=f"{joint}_{part}", low=-1, high=1) for part in ("cos", "sin") for joint in _JOINTS),
            *(Element(name=f"{joint}_velocity", low=-_FASTEST, high=_FASTEST, unit="rad/s") for joint in _JOINTS),
            *(
                Element(name=f"{place}_{axis}", low=-REACH, high=REACH, unit="m", frame="base")
                for place in ("fingertip", *shown)
                for axis in "xy"
            ),
        ),
        action=ContinuousAction(
            elements=tuple(Element(name=f"{joint}_torque", low=-1, high=1, unit="200 N m") for joint in _JOINTS),
            mode="effort",
            safe=(0.0, 0.0),
        ),
        reward=Reward(meaning=reward, low=-(REACH + FARTHEST), high=0),
        rate_hz=50,
        horizon=horizon,
        target_return=target_return,
    )


def in_ring(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return targets in the ring, ``[N, 2]`` in metres, from shares ``[N, 2]`` that are uniform from 0 to 1."""
    radius = np.sqrt(NEAREST**2 + (FARTHEST**2 - NEAREST**2) * shares[:, 0])
    angle = np.pi * (2 * shares[:, 1] - 1)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def tabulated(
    table: NDArray[np.float64], hidden: NDArray[np.int64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the hidden parameters ``[N, ...]``: from the table for the first hidden tasks, else from ``others``."""
    listed = hidden < len(table)
    listed = listed.reshape(-1, *[1] * (table.ndim - 1))
    return np.where(listed, table[np.minimum(hidden, len(table) - 1)], others)


def draw_targets(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw targets uniformly in the ring: ``[count, 2]``, in metres."""
    radius = np.sqrt(rng.uniform(NEAREST**2, FARTHEST**2, count))
    angle = rng.uniform(-np.pi, np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def inverse_kinematics(target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the joint angles ``[N, 2]`` that bring the fingertip to ``target [N, 2]``.

    It is always the solution with the elbow to the left, so that neighbouring targets have neighbouring poses.
    """
    x, y = target.T
    elbow = np.arccos((x**2 + y**2 - UPPER**2 - FORE**2) / (2 * UPPER * FORE))
    shoulder = np.arctan2(y, x) - np.arctan2(FORE * np.sin(elbow), UPPER + FORE * np.cos(elbow))
    return np.stack([shoulder, elbow], axis=-1)


def joint_error(observation: NDArray[np.float32], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how far the joints ``[N, 2]`` must turn, in radians; the shoulder can turn freely, so the shorter way."""
    cosine, sine = observation[:, 0:2], observation[:, 2:4]
    error = inverse_kinematics(target) - np.arctan2(sine, cosine)
    error[:, 0] = (error[:, 0] + np.pi) % (2 * np.pi) - np.pi
    return error


def arm_task(spec: TaskSpec, environment: str, expert: Expert, surprise: Surprise, histories_per_task: int) -> Task:
    """Return a task with this arm; ``environment`` names its class in `arm_env`, which needs MuJoCo."""
    return Task(
        spec,
        TRAIN_IDS,
        TEST_IDS,
        register(spec, f"dmh_edge.tasks.arm_env:{environment}"),
        expert,
        histories_per_task,
        episodes_per_history=30,
        pool=POOL,
        surprise=surprise,
    )
