"""T-maze: what is shown where, what pays, and that L can be anything from 2 to a million."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.robots.find import find_robot
from dmh_edge.tasks import find
from dmh_edge.tasks.family import Task
from dmh_edge.tasks.tmaze import DOWN, LEFT, RIGHT, UP, WHOLE


def walk(task: Task, actions: list[int], hidden: tuple[int, ...] = (0, 1)) -> tuple[np.ndarray, np.ndarray]:
    """Observations ``[T+1, N, 2]`` and rewards ``[T, N]`` of the same actions in several mazes."""
    mazes = task.vector(hidden)
    observation, _ = mazes.reset()
    observations, rewards = [observation], []
    for action in actions:
        observation, reward, terminated, truncated, _ = mazes.step(np.full(len(hidden), action))
        observations.append(observation)
        rewards.append(reward)
        assert not terminated.any()
        assert (truncated == (len(rewards) == task.spec.horizon)).all()
    return np.array(observations), np.array(rewards)


def test_the_sign_is_seen_at_the_first_observation_of_an_episode_and_never_again() -> None:
    observations, _ = walk(find("tmaze-3"), [LEFT, RIGHT, LEFT, RIGHT])
    assert observations[0].tolist() == [[0, -1], [0, 1]]
    assert not observations[1:].any()
    mazes = find("tmaze-3").vector(WHOLE)
    mazes.reset()
    mazes.step(np.array([RIGHT, RIGHT]))
    again, _ = mazes.reset(options={"reset_mask": np.array([False, True])})
    assert again.tolist() == [[0, 0], [0, 1]]


def test_the_far_end_and_its_arms_are_told_apart_and_walls_stop() -> None:
    observations, _ = walk(find("tmaze-2"), [UP, RIGHT, DOWN])
    assert not observations[1:, 1].any()
    seen = {}
    for way in ([RIGHT, RIGHT, RIGHT], [RIGHT, RIGHT, UP], [RIGHT, RIGHT, DOWN]):
        observations, _ = walk(find("tmaze-2"), way)
        seen[way[-1]] = observations[-1, 0].tolist()
        assert observations[1:3, 0].tolist() == [[0, 0], [1, 0]]
    assert seen == {RIGHT: [1, 0], UP: [1, 1], DOWN: [1, -1]}
    mazes = find("tmaze-2").vector([1])
    mazes.reset()
    for action, expected in ((RIGHT, [0, 0]), (RIGHT, [1, 0]), (UP, [1, 1]), (UP, [1, 1]), (LEFT, [1, 1]),
                             (DOWN, [1, 0]), (LEFT, [0, 0]), (UP, [0, 0])):  # fmt: skip
        assert mazes.step(np.array([action]))[0].tolist() == [expected]


def test_the_arm_that_the_sign_showed_pays_1_and_the_other_and_none_nothing() -> None:
    for turn, paid in ((DOWN, [1, 0]), (UP, [0, 1]), (RIGHT, [0, 0])):
        _, rewards = walk(find("tmaze-4"), [RIGHT] * 4 + [turn])
        assert rewards[:-1].tolist() == [[0, 0]] * 4
        assert rewards[-1].tolist() == paid


def test_every_step_that_is_behind_costs_a_part_in_L_but_for_the_last() -> None:
    _, rewards = walk(find("tmaze-4"), [UP, RIGHT, RIGHT, RIGHT, RIGHT], hidden=(1,))
    assert rewards[:, 0].tolist() == [-0.25] * 4 + [0]
    _, rewards = walk(find("tmaze-4"), [RIGHT, RIGHT, LEFT, RIGHT, RIGHT], hidden=(1,))
    assert rewards[:, 0].tolist() == [0, 0, -0.25, -0.25, 0]


@pytest.mark.parametrize("name", ["tmaze-2", "tmaze-50", "tmaze"])
def test_the_expert_earns_exactly_1_and_who_forgets_the_sign_a_half(name: str) -> None:
    task = find(name)
    hidden = np.array([0, 1, 1, 0, 0])  # the same may be there many times
    wrong = np.array([0, 1, 0, 1, 0])
    mazes = task.vector(hidden.tolist())
    for believed, earned in ((hidden, [1.0] * 5), (wrong, [1.0, 1.0, 0.0, 0.0, 1.0])):
        observation, info = mazes.reset()
        total = np.zeros(5)
        for _ in range(task.spec.horizon):
            observation, reward, _, truncated, info = mazes.step(task.expert(observation, believed, info["phase"]))
            total += reward
        assert truncated.all()
        assert total.tolist() == earned


def test_the_expert_in_the_wrong_arm_turns_back() -> None:
    task = find("tmaze-9")
    places = np.array([[1, 0], [1, -1], [1, 1]], np.float32)
    assert task.expert(places, np.ones(3, np.int64), np.zeros(3, np.int64)).tolist() == [UP, UP, UP]
    assert task.expert(places, np.zeros(3, np.int64), np.zeros(3, np.int64)).tolist() == [DOWN, DOWN, DOWN]


def test_a_name_makes_the_task_of_its_length_once() -> None:
    for length in (2, 1234, 1_000_000):
        task = find(f"tmaze-{length}")
        assert (task.spec.name, task.spec.horizon) == (f"tmaze-{length}", length + 1)
        assert task is find(f"tmaze-{length}")
    assert find("tmaze") is find("tmaze-1000")


@pytest.mark.parametrize("length", ["0", "1", "1000001", "0100"])
def test_a_length_out_of_range_is_refused(length: str) -> None:
    with pytest.raises(ConfigError, match=f"'tmaze-{length}': got memory length {length}.* from 2 to 1,000,000"):
        find(f"tmaze-{length}")


def test_gymnasium_and_the_robots_make_one_of_any_length() -> None:
    assert gymnasium.make("dmh_edge.tasks:tmaze", hidden=1).reset()[0].tolist() == [0, 1]
    task = find("tmaze-77")
    robot = find_robot("gym:tmaze-77", task=task.spec, options={"hidden": 0})
    assert robot.task == task.spec
    assert gymnasium.make("tmaze-77").spec.max_episode_steps == 78


def test_shorter_corridors_are_learned_from_beside_the_whole_one_and_only_the_whole_one_is_tested() -> None:
    assert [find(f"tmaze-{length}").train_ids for length in (2, 15, 16)] == [(0, 1), (0, 1), (0, 1, 2, 3)]
    task = find("tmaze-100")
    assert (task.train_ids, task.test_ids) == (tuple(range(8)), (0, 1))
    hidden = np.arange(8)
    mazes = task.vector(hidden.tolist())
    observation, _ = mazes.reset()
    assert observation.tolist() == [[0, -1], [0, 1]] * 4
    length, earned = np.zeros(8, int), np.zeros(8)
    over = np.zeros(8, bool)
    while not over.all():
        observation, reward, _, truncated, _ = mazes.step(task.expert(observation, hidden, hidden))
        length += ~over
        earned += reward * ~over
        over |= truncated
    assert length.tolist() == [101, 101, 51, 51, 26, 26, 13, 13]
    assert earned.tolist() == [1.0] * 8
