"""Dark camera: the target is seen and changes, the mounting is hidden and stays, and only memory can find it."""

from __future__ import annotations

import numpy as np
import pytest
from playing import returns

from dmh_edge.tasks.belief import Belief, candidates
from dmh_edge.tasks.dark_camera import OFFSET_M, PAID, ROTATION, SPEC, TASK, control, in_base, in_camera, mounting
from dmh_edge.tasks.family import Transition

ALL = np.arange(96)


class Assuming:
    """Goes where the target is if cameras are mounted in the mean way."""

    def advise(self, observation: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return control(observation, observation[:, 8:10].astype(float))

    def observe(self, step: Transition) -> None:
        pass


class Believing:
    """Goes to the mean of the targets that are possible by the rewards so far, of all episodes or of this one."""

    def __init__(self, students: int, forgetful: bool) -> None:
        drawn = candidates(TASK, np.random.default_rng(0))
        self.mountings, self.belief, self.forgetful = mounting(drawn), Belief(TASK, drawn, students), forgetful
        self.target: np.ndarray | None = None

    def advise(self, observation: np.ndarray, phase: np.ndarray) -> np.ndarray:
        if self.target is None:
            students, count = self.belief.weights.shape
            seen = np.repeat(observation[:, 8:10], count, axis=0)
            places = in_base(seen, *(np.concatenate([values] * students) for values in self.mountings))
            self.target = (self.belief.weights[..., None] * places.reshape(students, count, 2)).sum(1)
        return control(observation, self.target)

    def observe(self, step: Transition) -> None:
        if step.reward.any():
            self.belief.observe(step)
            self.target = None
        if step.over.all() and self.forgetful:
            self.belief.forget(step.over)


def test_memory_is_worth_nearly_all_that_knowing_the_mounting_is_worth() -> None:
    hidden = np.arange(48, 96)
    knows = returns(TASK, hidden, Knows(hidden), 2).mean()
    assuming = returns(TASK, hidden, Assuming(), 4).mean()
    forgetful = returns(TASK, hidden, Believing(48, forgetful=True), 4).mean()
    remembering = returns(TASK, hidden, Believing(48, forgetful=False), 10).mean(0)
    assert knows > -0.005
    assert assuming == pytest.approx(-0.48, abs=0.02)
    assert forgetful == pytest.approx(-0.46, abs=0.02)
    assert remembering[[0, 1, 2, 3, 5, 9]] == pytest.approx([-0.47, -0.37, -0.22, -0.13, -0.05, -0.03], abs=0.015)


class Knows(Assuming):
    """The expert."""

    def __init__(self, hidden: np.ndarray) -> None:
        self.hidden = hidden

    def advise(self, observation: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return TASK.expert(observation, self.hidden, phase)


def test_the_expert_reaches_every_target_that_any_camera_sees() -> None:
    arms = TASK.vector(ALL.tolist())
    observation, _ = arms.reset(seed=0)
    for _ in range(SPEC.horizon):
        observation, reward, *_ = arms.step(TASK.expert(observation, ALL, np.zeros(96, np.int64)))
    assert -0.002 < reward.min() <= reward.max() < 0


def test_only_the_last_steps_are_paid_and_they_pay_minus_the_distance_to_the_target() -> None:
    arms = TASK.vector([5, 6])
    for _ in range(2):
        before, _ = arms.reset(seed=0)
        for step in range(SPEC.horizon):
            observation, reward, *_ = arms.step(np.full((2, 2), 0.1, np.float32))
            target = in_base(observation[:, 8:10], *mounting(np.array([5, 6])))
            distance = np.linalg.norm(observation[:, 6:8] - target, axis=1)
            assert reward == pytest.approx(-distance if step >= SPEC.horizon - PAID else [0, 0], abs=1e-6)
            assert observation[:, 8:].tolist() == before[:, 8:].tolist()


def test_the_target_changes_with_every_episode_and_two_cameras_see_it_elsewhere() -> None:
    arms = TASK.vector([5, 6])
    first, _ = arms.reset(seed=[1, 1])
    assert first[0, :8].tolist() == first[1, :8].tolist()
    assert np.abs(first[0, 8:] - first[1, 8:]).max() > 0.01
    second, _ = arms.reset()
    assert np.abs(second[0, 8:] - first[0, 8:]).max() > 0.01


def test_a_place_comes_back_from_the_camera_s_frame() -> None:
    places = np.random.default_rng(0).uniform(-0.2, 0.2, (96, 2))
    rotation, origin = mounting(ALL)
    assert in_base(in_camera(places, rotation, origin), rotation, origin) == pytest.approx(places)
    assert in_camera(np.array([[1.0, 0.5]]), np.array([np.pi / 2]), np.array([[1.0, 0.0]])) == pytest.approx(
        np.array([[0.5, 0.0]])
    )


def test_mountings_cover_their_ranges() -> None:
    rotation, origin = mounting(TASK.draw(np.random.default_rng(0), 2000))
    for values, most in ((rotation, ROTATION), (origin[:, 0], OFFSET_M), (origin[:, 1], OFFSET_M)):
        assert -most < values.min() < -0.99 * most < 0.99 * most < values.max() < most
        assert abs(values.mean()) < 0.05 * most


def test_a_belief_that_puts_the_target_out_of_reach_gives_an_action_all_the_same() -> None:
    observation = TASK.vector([0, 0]).reset(seed=0)[0]
    assert np.isfinite(control(observation, np.array([[0.0, 0.0], [0.3, 0.3]]))).all()
