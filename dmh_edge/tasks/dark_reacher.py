"""Dark reacher: MuJoCo's two-joint Reacher whose target nobody sees. It must be found from reward alone.

An agent sees what an arm knows of itself: joint angles (as cosine and sine), joint velocities and where its fingertip
is. It sets two torques at 50 Hz for one second, starting near the stretched pose. The target of a hidden task stays
where it is over many episodes.

**Reward** is minus the distance between fingertip and target at the end of the step, in metres; a stay in three places
tells where the target is. Reacher's cost of control is left out: it says nothing of the target, and a memory that reads
rewards but no actions could not tell the one from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from dmh_edge.contract import ContinuousAction, Element, Reward, TaskSpec
from dmh_edge.tasks.task import Task

HORIZON = 50
#: Lengths of upper arm, and of forearm up to the fingertip, in metres.
UPPER, FORE = 0.1, 0.11
REACH = UPPER + FORE
#: Targets lie in a ring, metres from the shoulder: nearer ones would need a fold that the elbow cannot make.
NEAREST, FARTHEST = 0.05, 0.2
#: Torque (1: the motor's most) per radian of error and per radian per second. Three times as stiff would bring the
#: return from -1.5 to -1.3 and be harder to imitate: small errors become large torques.
STIFFNESS, DAMPING = 1.0, 0.1

#: Full torque (gear 200) against the joint's own damping (1): no joint can turn faster.
_FASTEST = 200.0
_JOINTS = ("shoulder", "elbow")

SPEC = TaskSpec(
    name="dark-reacher",
    observation=(
        *(Element(name=f"{joint}_{part}", low=-1, high=1) for part in ("cos", "sin") for joint in _JOINTS),
        *(Element(name=f"{joint}_velocity", low=-_FASTEST, high=_FASTEST, unit="rad/s") for joint in _JOINTS),
        *(Element(name=f"fingertip_{axis}", low=-REACH, high=REACH, unit="m", frame="base") for axis in "xy"),
    ),
    action=ContinuousAction(
        elements=tuple(Element(name=f"{joint}_torque", low=-1, high=1, unit="200 N m") for joint in _JOINTS),
        mode="effort",
        safe=(0.0, 0.0),
    ),
    reward=Reward(
        meaning="minus the distance in metres between fingertip and hidden target", low=-(REACH + FARTHEST), high=0
    ),
    rate_hz=50,
    horizon=HORIZON,
    target_return=-1.5,
)

TRAIN_IDS = tuple(range(80))
TEST_IDS = tuple(range(80, 96))


def _draw_targets() -> NDArray[np.float64]:
    """Uniform in the ring: ``[96, 2]`` metres."""
    rng = np.random.default_rng(0)
    radius = np.sqrt(rng.uniform(NEAREST**2, FARTHEST**2, len(TRAIN_IDS + TEST_IDS)))
    angle = rng.uniform(-np.pi, np.pi, len(radius))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


TARGETS = _draw_targets()


def inverse_kinematics(target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint angles ``[N, 2]`` that bring the fingertip to ``target [N, 2]``.

    Of the two solutions always the one with the elbow to the left: neighbouring targets have neighbouring poses.
    """
    x, y = target.T
    elbow = np.arccos((x**2 + y**2 - UPPER**2 - FORE**2) / (2 * UPPER * FORE))
    shoulder = np.arctan2(y, x) - np.arctan2(FORE * np.sin(elbow), UPPER + FORE * np.cos(elbow))
    return np.stack([shoulder, elbow], axis=-1)


def expert(observation: NDArray[np.float32], hidden: NDArray[np.int64]) -> NDArray[np.float32]:
    """Torques ``[N, 2]`` of a PD controller towards the pose that reaches the target."""
    cosine, sine, velocity = observation[:, 0:2], observation[:, 2:4], observation[:, 4:6]
    error = inverse_kinematics(TARGETS[hidden]) - np.arctan2(sine, cosine)
    error[:, 0] = (error[:, 0] + np.pi) % (2 * np.pi) - np.pi  # the shoulder turns freely: the shorter way round
    return np.clip(STIFFNESS * error - DAMPING * velocity, -1, 1).astype(np.float32)


def _vector(hidden: Sequence[int]) -> SyncVectorEnv:
    def maker(number: int) -> Any:
        return lambda: gymnasium.make(SPEC.name, hidden=number, disable_env_checker=True)

    return SyncVectorEnv([maker(number) for number in hidden], autoreset_mode=AutoresetMode.DISABLED)


gymnasium.register(SPEC.name, entry_point="dmh_edge.tasks.dark_reacher_env:DarkReacherEnv", max_episode_steps=HORIZON)

TASK = Task(SPEC, TRAIN_IDS, TEST_IDS, _vector, expert, histories_per_task=1, episodes_per_history=30)
