"""Dark payload: the target is shown and changes; payload and strengths are hidden and stay, and they matter."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest

from dmh_edge.tasks.dark_payload import HEAVIEST_KG, PAYLOAD_KG, SPEC, STRENGTH, TASK, WEAKEST, control

ALL = np.arange(96)


def returns(choose: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return of one episode of each hidden task ``[96]``, and the distance at its end ``[96]``."""
    arms = TASK.vector(ALL.tolist())
    observation, _ = arms.reset(seed=0)
    total = np.zeros(96)
    for _ in range(SPEC.horizon):
        observation, reward, _, truncated, _ = arms.step(choose(observation))
        total += reward
    assert truncated.all()
    return total, -reward


def test_the_target_is_shown_and_changes_with_every_episode_and_what_is_hidden_stays() -> None:
    env = gymnasium.make("dark-payload", hidden=5)
    targets = set()
    for seed in (0, None, None):
        observation, info = env.reset(seed=seed)
        after, reward, *_ = env.step(np.ones(2, np.float32))
        assert after[8:].tolist() == observation[8:].tolist()
        assert reward == pytest.approx(-np.linalg.norm(after[8:] - after[6:8]), abs=1e-6)
        targets.add(tuple(observation[8:].tolist()))
        assert info == {"hidden": 5}
        assert env.unwrapped.model.body("fingertip").mass == PAYLOAD_KG[5]
    assert len(targets) == 3


def test_arms_with_different_payloads_and_motors_show_the_same_until_they_move() -> None:
    arms = TASK.vector([0, 1])
    before, _ = arms.reset(seed=[7, 7])
    assert before[0].tolist() == before[1].tolist()
    after, *_ = arms.step(np.full((2, 2), 0.3, np.float32))
    assert np.abs(after[0] - after[1]).max() > 0.01


def test_the_payload_pulls_the_fingertip_down_and_an_empty_arm_stays_level() -> None:
    light, heavy = int(PAYLOAD_KG.argmin()), int(PAYLOAD_KG.argmax())
    arms = TASK.vector([light, heavy])
    arms.reset(seed=[3, 3])
    for _ in range(25):
        observation, *_ = arms.step(np.zeros((2, 2), np.float32))
    assert observation[1, 7] < -0.1 < -0.02 < observation[0, 7]
    assert observation[0, 8:].tolist() == observation[1, 8:].tolist()  # the targets hang in the air all the same


def test_a_weak_motor_turns_its_joint_less() -> None:
    weak, strong = int(STRENGTH[:, 0].argmin()), int(STRENGTH[:, 0].argmax())
    env = gymnasium.make("dark-payload", hidden=weak)
    env.reset(seed=0)
    gear = env.unwrapped.model.actuator_gear[:, 0].copy()
    env = gymnasium.make("dark-payload", hidden=strong)
    env.reset(seed=0)
    assert gear == pytest.approx(200 * STRENGTH[weak])
    assert env.unwrapped.model.actuator_gear[0, 0] > 2 * gear[0]


def test_what_is_hidden_covers_its_ranges_and_is_drawn_once_and_for_all() -> None:
    assert (PAYLOAD_KG.shape, STRENGTH.shape) == ((96,), (96, 2))
    assert 0 < PAYLOAD_KG.min() < 2 < HEAVIEST_KG - 2 < PAYLOAD_KG.max() < HEAVIEST_KG
    assert WEAKEST < STRENGTH.min() < WEAKEST + 0.05 < 0.95 < STRENGTH.max() < 1
    assert PAYLOAD_KG[0] == pytest.approx(25.4784675, abs=1e-6)


def test_the_expert_arrives_with_every_payload_and_that_it_knows_what_is_hidden_matters() -> None:
    other = np.random.default_rng(1).permutation(96)
    mean, sound = np.full(96, HEAVIEST_KG / 2), np.full(96, 0.0)
    expert, distance = returns(lambda observation: TASK.expert(observation, ALL, np.zeros(96, np.int64)))
    guesses = {
        "the mean": lambda observation: control(observation, mean, np.full((96, 2), (1 + WEAKEST) / 2)),
        "another": lambda observation: control(observation, PAYLOAD_KG[other], STRENGTH[other]),
        "sound": lambda observation: control(observation, sound, np.ones((96, 2))),
    }
    found = {name: returns(choose)[0].mean() for name, choose in guesses.items()}
    assert distance.max() < 0.005
    assert expert.mean() == pytest.approx(-3.3, abs=0.05)
    assert found == pytest.approx({"the mean": -5.4, "another": -6.0, "sound": -9.5}, abs=0.05)
    assert all(expert.mean() > 2 / 3 * value for value in found.values())  # better by a third, whatever one guesses
