"""Walkers on grids: one behaves like the same among many, gymnasium finds no fault, and what is hidden stays."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dmh_edge.errors import ConfigError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.task import DiscreteAction
from dmh_edge.tasks import find, gridworld

NAMES = [*(task.spec.name for task in gridworld.TASKS), "tmaze", "tmaze-2", "tmaze-7"]
every_grid = pytest.mark.parametrize("name", NAMES)


@every_grid
def test_gymnasium_makes_one_by_its_plain_id_and_finds_no_fault_with_it(name: str) -> None:
    task = find(name)
    env = gymnasium.make(f"dmh_edge.tasks:{name}", hidden=1)
    assert env.reset(seed=0)[1] == {"hidden": 1, "phase": 0}
    assert env.spec is not None
    assert env.spec.max_episode_steps == task.spec.horizon
    check_env(env.unwrapped)
    check_env(gymnasium.make(name).unwrapped)


@every_grid
def test_spaces_are_those_of_the_spec(name: str) -> None:
    spec = find(name).spec
    for env in (gymnasium.make(name, hidden=0), find(name).vector([0])):
        space = getattr(env, "single_observation_space", env.observation_space)
        assert space.low.tolist() == [element.low for element in spec.observation]
        assert space.high.tolist() == [element.high for element in spec.observation]
        assert getattr(env, "single_action_space", env.action_space) == gymnasium.spaces.Discrete(spec.action.size)


@every_grid
def test_one_behaves_as_the_same_among_many_step_for_step_over_episodes(name: str) -> None:
    task = find(name)
    assert isinstance(task.spec.action, DiscreteAction)
    hidden = [task.train_ids[0], task.test_ids[-1], task.train_ids[0]]
    ticks = min(task.spec.horizon, 500)
    rng = np.random.default_rng(1)
    many = task.vector(hidden)
    ones = [gymnasium.make(name, hidden=number) for number in hidden]
    for _ in range(2):
        observation, info = many.reset()
        for row, one in enumerate(ones):
            alone, told = one.reset(seed=0)
            assert alone.tolist() == observation[row].tolist()
            assert told == {key: values[row] for key, values in info.items()}
        for _ in range(ticks):
            wise = task.expert(observation, np.array(hidden), info["phase"])  # at times, so that something is reached
            action = np.where(rng.random(3) < 0.5, wise, rng.integers(task.spec.action.size, size=3))
            observation, reward, terminated, truncated, info = many.step(action)
            for row, one in enumerate(ones):
                alone, *outcome, told = one.step(action[row])
                assert alone.tolist() == observation[row].tolist()
                assert outcome == [reward[row], terminated[row], truncated[row]]
                assert told == {key: values[row] for key, values in info.items()}
            assert observation.dtype == np.float32
            assert not truncated.any() or truncated.all()


@every_grid
def test_observations_and_rewards_keep_to_the_spec(name: str) -> None:
    task = find(name)
    rng = np.random.default_rng(0)
    many = task.vector([task.test_ids[index % len(task.test_ids)] for index in range(40)])
    observation, _ = many.reset()
    for _ in range(min(task.spec.horizon, 300)):
        for column, element in zip(observation.T, task.spec.observation, strict=True):
            assert element.levels is not None
            assert np.isin(column, element.low + np.arange(element.levels)).all()
        observation, reward, *_ = many.step(rng.integers(task.spec.action.size, size=40))
        assert np.all((reward >= task.spec.reward.low) & (reward <= task.spec.reward.high))


@every_grid
def test_a_thousand_step_in_one_batch(name: str) -> None:
    task = find(name)
    many = task.vector((task.train_ids * 1000)[:1000])
    observation, info = many.reset()
    for _ in range(3):
        hidden = info["hidden"]
        observation, *_, info = many.step(task.expert(observation, hidden, info["phase"]))
    assert observation.shape == (1000, 2)


def test_reset_mask_starts_new_episodes_only_where_it_is_true() -> None:
    task = find("key-to-door")
    hidden = np.array([task.train_ids[0]] * 2)
    many = task.vector(hidden.tolist())
    observation, info = many.reset()
    for _ in range(30):
        observation, *_, info = many.step(task.expert(observation, hidden, info["phase"]))
    assert info["phase"].tolist() == [2, 2]
    again, info = many.reset(options={"reset_mask": np.array([True, False])})
    assert again.tolist() == [[4, 4], observation[1].tolist()]
    assert info["phase"].tolist() == [0, 2]
    for _ in range(20):
        *_, truncated, info = many.step(np.array([gridworld.STAY] * 2))
    assert truncated.tolist() == [False, True]


@pytest.mark.parametrize("name", ["darkroom", "large-key-to-door"])
def test_what_nobody_named_is_held_out_and_kept_for_life(name: str) -> None:
    hidden = set()
    for seed in range(20):
        env = gymnasium.make(name)
        first = env.reset(seed=seed)[1]["hidden"]
        assert env.reset(seed=seed + 1)[1]["hidden"] == first == env.step(np.int64(0))[4]["hidden"]
        assert gymnasium.make(name).reset(seed=seed)[1]["hidden"] == first
        hidden.add(first)
    assert len(hidden) > 5
    assert hidden <= set(find(name).test_ids)


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        gymnasium.make("darkroom").unwrapped.step(0)


@pytest.mark.parametrize(("name", "last"), [("darkroom", 80), ("key-to-door", 6479), ("tmaze-5", 1)])
def test_a_hidden_task_that_is_none_is_refused_with_what_there_is(name: str, last: int) -> None:
    task = find(name)
    task.vector([0, last])
    for wrong in (-1, last + 1):
        message = f"{task.spec.name}: got hidden = {wrong}, expected 0 to {last}"
        with pytest.raises(ConfigError, match=message):
            task.vector([0, wrong])
        with pytest.raises(ConfigError, match=message):
            gymnasium.make(name, hidden=wrong)


@pytest.mark.parametrize("name", ["large-key-to-door", "tmaze-30"])
def test_it_keeps_the_contract_of_a_robot(name: str) -> None:
    check_robot(lambda: GymRobot(name, options={"hidden": 0}))
