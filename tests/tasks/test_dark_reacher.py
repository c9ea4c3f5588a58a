"""Dark reacher: nothing shown betrays the target, reward alone does, and the expert reaches it."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.tasks.dark_reacher import SPEC, TARGETS, TASK
from dmh_edge.tasks.family import phase_of

IDS = np.array([0, 1, 2, 3, 80, 81])


def returns(policy: object, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of one episode per arm ``[N]``, and the distance at its end ``[N]``."""
    arms = TASK.vector(hidden.tolist())
    observation, info = arms.reset(seed=0)
    total = np.zeros(len(hidden))
    for _ in range(SPEC.horizon):
        phase = phase_of(info, len(hidden))
        action = policy(observation, hidden, phase)  # type: ignore[operator]
        observation, reward, terminated, truncated, info = arms.step(action)
        total += reward
    assert truncated.all()
    assert not terminated.any()
    return total, -reward


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


def test_targets_are_drawn_once_and_for_all() -> None:
    assert TARGETS.shape == (96, 2)
    assert TARGETS[0] == pytest.approx([-0.096496, -0.130670], abs=1e-6)


def test_the_expert_reaches_every_target_and_nobody_else_comes_near() -> None:
    rng = np.random.default_rng(0)
    expert, distance = returns(TASK.expert, np.arange(96))
    idle, _ = returns(lambda *_: np.zeros((96, 2), np.float32), np.arange(96))
    random, _ = returns(lambda *_: rng.uniform(-1, 1, (96, 2)).astype(np.float32), np.arange(96))
    assert distance.max() < 0.002
    assert expert.mean() > -1.6
    assert idle.mean() < random.mean() < -9
