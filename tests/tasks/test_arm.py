"""The arm of its tasks: gymnasium finds no fault, bounds hold, episodes start alike, MuJoCo is asked for late."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dmh_edge.errors import ConfigError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.task import bounds_of
from dmh_edge.tasks import arm, dark_payload, dark_reacher, find
from dmh_edge.tasks.family import uniform

IDS = [0, 1, 2, 3, 80, 81]
every_arm = pytest.mark.parametrize("name", ["dark-reacher", "dark-payload", "dark-camera"])


@every_arm
def test_gymnasium_makes_an_arm_by_its_plain_id_and_finds_no_fault_with_it(name: str) -> None:
    env = gymnasium.make(f"dmh_edge.tasks:{name}", hidden=3)
    spec = find(name).spec
    assert env.reset(seed=0)[1] == {"hidden": 3}
    assert 1 / env.unwrapped.dt == spec.rate_hz
    assert env.spec.max_episode_steps == spec.horizon
    check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


@every_arm
def test_spaces_are_those_of_the_spec(name: str) -> None:
    spec, env = find(name).spec, gymnasium.make(name, hidden=0)
    assert env.observation_space.low.tolist() == np.float32([element.low for element in spec.observation]).tolist()
    assert env.observation_space.high.tolist() == np.float32([element.high for element in spec.observation]).tolist()
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (2,), np.float32)


@every_arm
def test_every_episode_starts_near_the_stretched_pose_and_no_two_alike(name: str) -> None:
    env = gymnasium.make(name, hidden=0)
    angles = np.array([np.arctan2(*env.reset(seed=seed)[0][[2, 0]]) for seed in range(10)])
    assert np.abs(angles).max() <= 0.1
    assert len(set(angles)) == 10


@every_arm
def test_what_nobody_named_is_held_out_and_kept_for_life(name: str) -> None:
    env = gymnasium.make(name)
    first = env.reset(seed=5)[1]["hidden"]
    assert first in find(name).test_ids
    assert env.reset(seed=6)[1]["hidden"] == first == env.step(np.zeros(2, np.float32))[4]["hidden"]


@every_arm
def test_an_episode_begins_alike_whether_its_hidden_task_was_named_or_drawn(name: str) -> None:
    env = gymnasium.make(name)
    observation, info = env.reset(seed=5)
    named = gymnasium.make(name, hidden=info["hidden"])
    assert named.reset(seed=5)[0].tolist() == observation.tolist()


@every_arm
@pytest.mark.parametrize("wrong", [-1, 2**62])
def test_a_hidden_task_that_is_none_is_refused_with_what_there_is(name: str, wrong: int) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got hidden = {wrong}, expected 0 to 2..62 - 1"):
        gymnasium.make(name, hidden=wrong)


@every_arm
def test_80_are_learned_from_and_16_held_out(name: str) -> None:
    assert (find(name).train_ids, find(name).test_ids) == (tuple(range(80)), tuple(range(80, 96)))
    assert find(name).pool == range(96, 2**62)


def test_the_listed_hidden_tasks_keep_their_parameters_and_all_others_have_their_own() -> None:
    hidden = np.array([95, 0, 96, 2**62 - 1, 96])
    targets = dark_reacher.targets(hidden)
    assert targets[:2].tolist() == dark_reacher.TARGETS[[95, 0]].tolist()
    assert targets[2].tolist() == targets[4].tolist() != targets[3].tolist()
    payload_kg, strength = dark_payload.parameters(hidden)
    assert payload_kg[:2].tolist() == dark_payload.PAYLOAD_KG[[95, 0]].tolist()
    assert strength[:2].tolist() == dark_payload.STRENGTH[[95, 0]].tolist()
    assert strength[2].tolist() == strength[4].tolist() != strength[3].tolist()


def test_targets_without_end_fill_the_same_ring_as_evenly_as_the_listed_ones() -> None:
    targets = dark_reacher.targets(np.arange(1000, 5000))
    radius = np.linalg.norm(targets, axis=1)
    assert 0.05 <= radius.min() < 0.052 < 0.199 < radius.max() <= 0.2
    drawn = np.linalg.norm(arm.draw_targets(np.random.default_rng(0), 4000), axis=1)
    assert np.percentile(radius, [25, 50, 75]) == pytest.approx(np.percentile(drawn, [25, 50, 75]), abs=0.003)
    angle = np.arctan2(targets[:, 1], targets[:, 0])
    assert np.percentile(angle, [25, 50, 75]) == pytest.approx([-np.pi / 2, 0, np.pi / 2], abs=0.1)


def test_parameters_without_end_cover_the_ranges_of_the_listed_ones() -> None:
    payload_kg, strength = dark_payload.parameters(np.arange(1000, 3000))
    assert 0 <= payload_kg.min() < 0.2 < 39.8 < payload_kg.max() <= 40
    assert 0.4 <= strength.min() < 0.41 < 0.99 < strength.max() <= 1


def test_hidden_parameters_are_a_function_of_the_number_alone_and_cannot_be_changed_by_accident() -> None:
    alone, among = uniform(np.array([7]), 2), uniform(np.array([3, 7]), 2)
    assert alone[0].tolist() == among[1].tolist() == np.random.default_rng(7).random(2).tolist()
    with pytest.raises(ValueError, match="read-only"):
        alone[0, 0] = 0


@every_arm
def test_an_arm_of_the_endless_pool_is_played_like_any_other(name: str) -> None:
    arms = find(name).vector([12345, 2**62 - 1])
    arms.reset(seed=[7, 7])
    observation, reward, *_ = arms.step(np.full((2, 2), 0.3, np.float32))
    assert (reward[0], *observation[0]) != (reward[1], *observation[1])


@every_arm
def test_no_observation_or_reward_leaves_its_bounds_under_full_torque(name: str) -> None:
    spec = find(name).spec
    low, high = bounds_of(spec.observation)
    for torque in ([1, 1], [1, -1], [-1, 1]):
        arms = find(name).vector(IDS)
        arms.reset(seed=0)
        for _ in range(spec.horizon):
            observation, reward, *_ = arms.step(np.tile(np.float32(torque), (6, 1)))
            assert np.all((observation >= low - 1e-6) & (observation <= high + 1e-6))
            assert np.all((reward >= spec.reward.low) & (reward <= spec.reward.high))


@every_arm
def test_reset_mask_starts_new_episodes_only_where_it_is_true(name: str) -> None:
    arms = find(name).vector([0, 0])  # the same may be there twice
    arms.reset(seed=0)
    moved, *_ = arms.step(np.ones((2, 2), np.float32))
    again, _ = arms.reset(options={"reset_mask": np.array([True, False])})
    assert np.abs(again[0, 4:6]).max() < 0.01 < np.abs(moved[0, 4:6]).max()
    assert again[1].tolist() == moved[1].tolist()


def test_the_inverse_kinematics_bring_the_fingertip_to_any_target_of_the_ring() -> None:
    targets = arm.draw_targets(np.random.default_rng(1), 1000)
    radius = np.linalg.norm(targets, axis=1)
    assert radius.min() >= 0.05
    assert radius.max() <= 0.2
    shoulder, elbow = arm.inverse_kinematics(targets).T
    assert np.all((elbow > 0) & (elbow < 3))
    x = 0.1 * np.cos(shoulder) + 0.11 * np.cos(shoulder + elbow)
    y = 0.1 * np.sin(shoulder) + 0.11 * np.sin(shoulder + elbow)
    assert np.stack([x, y], axis=1) == pytest.approx(targets)


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
    [
        ("darkroom", "works"),
        (
            "dark-reacher",
            "MissingExtraError a task with MuJoCo physics needs mujoco, which is not installed: pip install",
        ),
        (
            "dark-payload",
            "MissingExtraError a task with MuJoCo physics needs mujoco, which is not installed: pip install",
        ),
        (
            "dark-slide",
            "MissingExtraError a task with MuJoCo physics needs mujoco, which is not installed: pip install",
        ),
    ],
)
def test_only_a_task_with_physics_needs_mujoco(task: str, said: str) -> None:
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
    assert 'MissingExtraError a simulated task needs gymnasium, which is not installed: pip install ".[sim]"' in printed


@every_arm
def test_it_keeps_the_contract_of_a_robot(name: str) -> None:
    check_robot(lambda: GymRobot(name, options={"hidden": 0}))
