"""Dark slide: the friction shows only when it is too late, so that memory is worth a good half of the return."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from playing import returns

from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.task import bounds_of
from dmh_edge.tasks import find
from dmh_edge.tasks.dark_slide import LAST, ROUGHEST, SMOOTHEST, SPEC, TASK, control, deceleration, surprise
from dmh_edge.tasks.family import Transition

ALL = np.arange(96)
TRUE = deceleration(ALL)
#: The best assumption of an agent that knows nothing: it strikes too hard on as many hidden tasks as too softly.
BLIND = 1.35


class Assuming:
    """Controls with an assumed deceleration."""

    def __init__(self, assumed: np.ndarray) -> None:
        self.assumed = assumed

    def advise(self, observation: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return control(observation, self.assumed)

    def observe(self, step: Transition) -> None:
        pass


class Remembering(Assuming):
    """Assumes what it measured last."""

    def observe(self, step: Transition) -> None:
        before, after = step.observation, step.next_observation
        free = (before[:, 1] > 2 * LAST) & (after[:, 1] < 0.9) & (after[:, 3] > 0.05)
        self.assumed = np.where(free, (before[:, 3] - after[:, 3]) * SPEC.rate_hz, self.assumed)


class Tapping(Remembering):
    """Taps the puck with 0.4 m/s, measures while both are close, and strikes again; it forgets with each episode."""

    def __init__(self) -> None:
        super().__init__(np.full(96, np.nan))

    def advise(self, observation: np.ndarray, phase: np.ndarray) -> np.ndarray:
        pusher, puck = observation[:, 0], observation[:, 1]
        gentle = np.maximum(np.sqrt(2 * 12 * np.maximum(-pusher - 0.02 * observation[:, 2], 0)), 0.4) / 1.5
        again = control(observation, np.nan_to_num(self.assumed, nan=BLIND))[:, 0]
        waits = np.where(puck > 1e-6, 0, gentle)
        return np.where(np.isnan(self.assumed), waits, again).clip(0, 1).astype(np.float32)[:, None]

    def observe(self, step: Transition) -> None:
        before, after = step.observation, step.next_observation
        apart = (before[:, 1] > before[:, 0] + 1e-5) & (after[:, 1] > after[:, 0] + 1e-5)
        free = apart & (after[:, 3] > 1e-3) & (before[:, 3] > after[:, 3])
        self.assumed = np.where(free, (before[:, 3] - after[:, 3]) * SPEC.rate_hz, self.assumed)
        self.assumed[step.over] = np.nan


def test_memory_is_worth_nearly_all_that_knowing_the_friction_is_worth() -> None:
    knows = returns(TASK, ALL, Assuming(TRUE), 2).mean()
    blind = {assumed: returns(TASK, ALL, Assuming(np.full(96, assumed)), 2).mean() for assumed in (1.1, BLIND, 1.6)}
    tapping = returns(TASK, ALL, Tapping(), 2).mean()
    remembering = returns(TASK, ALL, Remembering(np.full(96, BLIND)), 3).mean(0)
    assert knows == pytest.approx(-9.3, abs=0.1)
    assert max(blind, key=blind.__getitem__) == BLIND
    assert blind[BLIND] == pytest.approx(-19.8, abs=0.1)
    assert tapping == pytest.approx(-23.0, abs=0.3)
    assert remembering[0] == pytest.approx(-19.6, abs=0.2)
    assert remembering[1:].tolist() == pytest.approx([-9.5, -9.3], abs=0.2)


def test_the_expert_brings_the_puck_to_every_target_on_every_surface() -> None:
    slides = TASK.vector(ALL.tolist())
    observation, info = slides.reset(seed=0)
    assert info["hidden"].tolist() == ALL.tolist()
    for _ in range(SPEC.horizon):
        observation, reward, terminated, truncated, _ = slides.step(TASK.expert(observation, ALL, np.zeros(96)))
    assert truncated.all()
    assert not terminated.any()
    assert np.abs(reward).max() < 0.02
    assert reward == pytest.approx(-np.abs(observation[:, 1] - observation[:, 4]), abs=1e-6)


def test_slides_of_different_friction_show_the_same_until_the_puck_is_out_of_reach() -> None:
    smooth, rough = int(TRUE.argmin()), int(TRUE.argmax())
    slides = TASK.vector([smooth, rough])
    before, _ = slides.reset(seed=[7, 7])
    assert before[0].tolist() == before[1].tolist()
    for _ in range(30):
        observation, *_ = slides.step(np.full((2, 1), 0.5, np.float32))
        if observation[0, 1] == 0:
            assert observation[0].tolist() == observation[1].tolist()
    assert observation[:, 1].min() > LAST
    assert observation[0, 3] > observation[1, 3] + 0.5


def test_the_pusher_stays_behind_the_end_of_its_rail_and_never_goes_back() -> None:
    slides = TASK.vector([0])
    observation, _ = slides.reset(seed=0)
    places = []
    for _ in range(SPEC.horizon):
        observation, *_ = slides.step(np.ones((1, 1), np.float32))
        places.append(observation[0, 0])
    assert max(places) < LAST + 0.01
    slides.reset(seed=0)
    still, *_ = slides.step(np.full((1, 1), -1, np.float32))
    assert abs(still[0, 2]) < 1e-6


@pytest.mark.parametrize("action", [0.0, 0.3, 1.0])
def test_no_observation_or_reward_leaves_its_bounds(action: float) -> None:
    low, high = bounds_of(SPEC.observation)
    slides = TASK.vector([int(TRUE.argmin()), int(TRUE.argmax())])
    slides.reset(seed=0)
    for _ in range(SPEC.horizon):
        observation, reward, *_ = slides.step(np.full((2, 1), action, np.float32))
        assert np.all((observation >= low) & (observation <= high))
        assert np.all((reward >= SPEC.reward.low) & (reward <= SPEC.reward.high))


def test_only_the_true_friction_explains_how_the_puck_slows_down() -> None:
    candidates = np.concatenate([ALL, [10**6, 2**62 - 1]])
    slides = TASK.vector([5] * len(candidates))
    observation, _ = slides.reset(seed=[1] * len(candidates))
    total = np.zeros(len(candidates))
    for _ in range(SPEC.horizon):
        action = TASK.expert(observation, np.full(len(candidates), 5), np.zeros(1))
        after, reward, _, over, _ = slides.step(action)
        total += surprise(Transition(observation, np.zeros(1), action, reward, after, over), candidates)
        observation = after
    assert total[5] < 10
    off = np.abs(deceleration(candidates) / TRUE[5] - 1)
    assert total[off > 0.2].min() > 100


def test_frictions_cover_their_range_evenly_in_the_logarithm() -> None:
    hidden = np.concatenate([ALL, TASK.draw(np.random.default_rng(0), 2000)])
    shares = np.log(deceleration(hidden) / SMOOTHEST) / np.log(ROUGHEST / SMOOTHEST)
    assert 0 < shares.min() < 0.01 < 0.99 < shares.max() < 1
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert not set(hidden[96:].tolist()) & set(TASK.test_ids)


def test_gymnasium_makes_it_by_its_plain_id_and_finds_no_fault_with_it() -> None:
    env = gymnasium.make("dmh_edge.tasks:dark-slide", hidden=3)
    assert env.reset(seed=0)[1] == {"hidden": 3}
    assert 1 / env.unwrapped.dt == pytest.approx(SPEC.rate_hz)
    assert env.spec.max_episode_steps == SPEC.horizon
    assert env.action_space == gymnasium.spaces.Box(0, 1, (1,), np.float32)
    check_env(gymnasium.make("dark-slide").unwrapped, skip_render_check=True)
    assert find("dark-slide") is TASK


def test_it_keeps_the_contract_of_a_robot() -> None:
    check_robot(lambda: GymRobot("dark-slide", options={"hidden": 0}))
