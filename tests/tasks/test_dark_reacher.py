"""Dark reacher: nothing shown betrays the target, reward alone does, and the expert reaches it."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.tasks import dark_reacher
from dmh_edge.tasks.dark_reacher import SPEC, TARGETS, TASK

IDS = np.array([0, 1, 2, 3, 80, 81])


def returns(policy: object, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of one episode per arm ``[N]``, and the distance at its end ``[N]``."""
    arms = TASK.vector(hidden.tolist())
    observation, _ = arms.reset(seed=0)
    total = np.zeros(len(hidden))
    for _ in range(SPEC.horizon):
        observation, reward, terminated, truncated, _ = arms.step(policy(observation, hidden))  # type: ignore[operator]
        total += reward
    assert truncated.all()
    assert not terminated.any()
    return total, -reward


def test_gymnasium_makes_an_arm_by_its_plain_id_and_finds_no_fault_with_it() -> None:
    env = gymnasium.make("dmh_edge.tasks:dark-reacher", hidden=3)
    assert env.reset(seed=0)[1] == {"hidden": 3}
    assert 1 / env.unwrapped.dt == SPEC.rate_hz
    assert env.spec.max_episode_steps == SPEC.horizon
    check_env(gymnasium.make("dark-reacher").unwrapped, skip_render_check=True)


def test_spaces_are_those_of_the_spec() -> None:
    env = gymnasium.make("dark-reacher", hidden=0)
    assert env.observation_space.low.tolist() == np.float32([element.low for element in SPEC.observation]).tolist()
    assert env.observation_space.high.tolist() == np.float32([element.high for element in SPEC.observation]).tolist()
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def test_arms_with_different_targets_show_the_same_and_earn_different_rewards() -> None:
    arms = TASK.vector([0, 1])
    observation, _ = arms.reset(seed=[7, 7])
    for _ in range(10):
        assert observation[0].tolist() == observation[1].tolist()
        observation, reward, *_ = arms.step(np.full((2, 2), 0.3, np.float32))
        assert reward[0] != reward[1]


def test_reward_is_minus_the_distance_from_the_fingertip_that_is_shown_to_the_target() -> None:
    arms = TASK.vector(IDS.tolist())
    arms.reset(seed=0)
    observation, reward, *_ = arms.step(np.ones((6, 2), np.float32))
    assert reward == pytest.approx(-np.linalg.norm(observation[:, 6:] - TARGETS[IDS], axis=1), abs=1e-6)


def test_every_episode_starts_near_the_stretched_pose_and_no_two_alike() -> None:
    env = gymnasium.make("dark-reacher", hidden=0)
    angles = np.array([np.arctan2(*env.reset(seed=seed)[0][[2, 0]]) for seed in range(10)])
    assert np.abs(angles).max() <= 0.1
    assert len(set(angles)) == 10


def test_a_target_that_nobody_named_is_held_out_and_kept_for_life() -> None:
    env = gymnasium.make("dark-reacher")
    first = env.reset(seed=5)[1]["hidden"]
    assert first in TASK.test_ids
    assert env.reset(seed=6)[1]["hidden"] == first == env.step(np.zeros(2, np.float32))[4]["hidden"]


def test_all_targets_are_within_the_arms_reach() -> None:
    assert len(TARGETS) == len(TASK.train_ids) + len(TASK.test_ids) == 96
    shoulder, elbow = dark_reacher.inverse_kinematics(TARGETS).T
    assert np.all((elbow > 0) & (elbow < 3))
    x = 0.1 * np.cos(shoulder) + 0.11 * np.cos(shoulder + elbow)
    y = 0.1 * np.sin(shoulder) + 0.11 * np.sin(shoulder + elbow)
    assert np.stack([x, y], axis=1) == pytest.approx(TARGETS)


def test_the_expert_reaches_every_target_and_nobody_else_comes_near() -> None:
    rng = np.random.default_rng(0)
    expert, distance = returns(TASK.expert, np.arange(96))
    idle, _ = returns(lambda *_: np.zeros((96, 2), np.float32), np.arange(96))
    random, _ = returns(lambda *_: rng.uniform(-1, 1, (96, 2)).astype(np.float32), np.arange(96))
    assert distance.max() < 0.002
    assert expert.mean() > -1.6
    assert idle.mean() < random.mean() < -9


def test_no_observation_or_reward_leaves_its_bounds_under_full_torque() -> None:
    low, high = (np.array([getattr(element, side) for element in SPEC.observation]) for side in ("low", "high"))
    for torque in ([1, 1], [1, -1], [-1, 1]):
        arms = TASK.vector(IDS.tolist())
        arms.reset(seed=0)
        for _ in range(SPEC.horizon):
            observation, reward, *_ = arms.step(np.tile(np.float32(torque), (6, 1)))
            assert np.all((observation >= low - 1e-6) & (observation <= high + 1e-6))
            assert np.all((reward >= SPEC.reward.low) & (reward <= SPEC.reward.high))


def test_reset_mask_starts_new_episodes_only_where_it_is_true() -> None:
    arms = TASK.vector([0, 1])
    arms.reset(seed=0)
    moved, *_ = arms.step(np.ones((2, 2), np.float32))
    again, _ = arms.reset(options={"reset_mask": np.array([True, False])})
    assert np.abs(again[0, 4:6]).max() < 0.01 < np.abs(moved[0, 4:6]).max()
    assert again[1].tolist() == moved[1].tolist()


BLOCKED = """
import sys
sys.modules[{blocked!r}] = None
import gymnasium.error
try:
    import dmh_edge.tasks
    dmh_edge.tasks.find({task!r}).vector([0])
    print("works")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("task", "said"),
    [("darkroom", "works"), ("dark-reacher", "MissingExtraError the task 'dark-reacher' needs mujoco, which is not")],
)
def test_only_the_arm_needs_mujoco(task: str, said: str) -> None:
    script = BLOCKED.format(blocked="mujoco", task=task)
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said in printed


def test_without_gymnasium_the_error_names_what_to_install() -> None:
    script = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "try: import dmh_edge.tasks\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert (
        'MissingExtraError a simulated task needs gymnasium, which is not installed: pip install "dmh-edge[sim]"'
        in printed
    )


def test_it_keeps_the_contract_of_a_robot() -> None:
    check_robot(lambda: GymRobot("dark-reacher", options={"hidden": 0}))
