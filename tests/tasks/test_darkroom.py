"""Darkroom: the rules of the room, one room like many, and an expert worth imitating."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dmh_edge.tasks import darkroom, find
from dmh_edge.tasks.darkroom import DOWN, LEFT, RIGHT, STAY, TASK, UP

ALL = np.arange(81)


def expert_returns(hidden: np.ndarray) -> np.ndarray:
    rooms = TASK.vector(hidden.tolist())
    observation, _ = rooms.reset()
    total = np.zeros(len(hidden))
    for _ in range(TASK.spec.horizon):
        observation, reward, _, truncated, _ = rooms.step(TASK.expert(observation, hidden))
        total += reward
    assert truncated.all()
    return total


def test_hidden_goals_are_split_once_and_for_all_into_65_and_16() -> None:
    assert (len(TASK.train_ids), len(TASK.test_ids)) == (65, 16)
    assert sorted(TASK.train_ids + TASK.test_ids) == list(range(81))
    assert TASK.test_ids == (7, 14, 29, 31, 33, 38, 41, 48, 54, 56, 59, 63, 69, 71, 72, 79)


def test_gymnasium_makes_a_room_by_its_plain_id_and_finds_no_fault_with_it() -> None:
    env = gymnasium.make("dmh_edge.tasks:darkroom", hidden=3)
    assert env.reset(seed=0)[1] == {"hidden": 3}
    check_env(env.unwrapped)
    check_env(gymnasium.make("darkroom").unwrapped)


def test_every_action_moves_as_its_name_says_and_walls_stop() -> None:
    centre, corner = np.array([[4, 4]] * 5), np.array([[0, 8]] * 5)
    actions = np.array([LEFT, RIGHT, UP, DOWN, STAY])
    assert darkroom.move(centre, actions, ALL[:5])[0].tolist() == [[3, 4], [5, 4], [4, 5], [4, 3], [4, 4]]
    assert darkroom.move(corner, actions, ALL[:5])[0].tolist() == [[0, 8], [1, 8], [0, 8], [0, 7], [0, 8]]


def test_every_step_that_ends_on_the_goal_pays_1_and_no_other_pays() -> None:
    cells = np.stack(np.divmod(ALL, 9), axis=1)
    for hidden in ALL:
        _, reward = darkroom.move(cells, np.full(81, STAY), np.full(81, hidden))
        assert reward.tolist() == (hidden == ALL).tolist()


def test_one_room_behaves_as_the_same_room_among_many() -> None:
    hidden = [40, 31, 0]
    rng = np.random.default_rng(1)
    actions = rng.integers(5, size=(20, 3))
    rooms = TASK.vector(hidden)
    rooms.reset()
    many = [rooms.step(action) for action in actions]
    for index, goal in enumerate(hidden):
        env = gymnasium.make("darkroom", hidden=goal)
        env.reset(seed=0)
        for tick, action in enumerate(actions[:, index]):
            observation, reward, terminated, truncated, _ = env.step(action)
            row = [part[index] for part in many[tick][:4]]
            assert observation.tolist() == row[0].tolist()
            assert [reward, terminated, truncated] == row[1:]


def test_reset_mask_starts_new_episodes_only_where_it_is_true() -> None:
    rooms = TASK.vector([0, 1])
    rooms.reset()
    rooms.step(np.array([LEFT, LEFT]))
    observation, _ = rooms.reset(options={"reset_mask": np.array([True, False])})
    assert observation.tolist() == [[4, 4], [3, 4]]
    for _ in range(19):
        *_, truncated, _ = rooms.step(np.array([STAY, STAY]))
    assert truncated.tolist() == [False, True]


def test_a_goal_that_nobody_named_is_held_out_and_kept_for_life() -> None:
    hidden = set()
    for seed in range(20):
        env = gymnasium.make("darkroom")
        first = env.reset(seed=seed)[1]["hidden"]
        assert env.reset(seed=seed + 1)[1]["hidden"] == first == env.step(STAY)[4]["hidden"]
        assert gymnasium.make("darkroom").reset(seed=seed)[1]["hidden"] == first
        hidden.add(first)
    assert len(hidden) > 5
    assert hidden <= set(TASK.test_ids)


def test_the_expert_gets_the_most_that_can_be_had_for_every_goal() -> None:
    distance = np.abs(np.stack(np.divmod(ALL, 9), axis=1) - 4).sum(axis=1)
    assert expert_returns(ALL).tolist() == np.minimum(20, 21 - distance).tolist()


def test_who_imitates_the_expert_without_knowing_the_goal_explores() -> None:
    def x_first(observation: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        dx, dy = (np.stack(np.divmod(hidden, 9), axis=1) - observation).T
        return np.select([dx < 0, dx > 0, dy > 0, dy < 0], [LEFT, RIGHT, UP, DOWN], STAY)

    ours, other = ideal_imitation(TASK.expert), ideal_imitation(x_first)
    assert ours[-3:].mean() > 12 > 10 > other[-3:].mean()


def ideal_imitation(expert: Callable[[np.ndarray, np.ndarray], np.ndarray], episodes: int = 20) -> np.ndarray:
    """Mean return per episode of one who samples the expert's action for a goal drawn from those still possible."""
    rng = np.random.default_rng(0)
    possible = np.ones((81, 81), bool)  # [room, goal]
    returns = np.zeros(episodes)
    for episode in range(episodes):
        position = np.full((81, 2), 4)
        for _ in range(20):
            believed = np.where(possible, rng.random((81, 81)), -1).argmax(axis=1)
            position, reward = darkroom.move(position, expert(position, believed), ALL)
            possible[ALL, position @ [9, 1]] = False
            possible[reward == 1] = np.eye(81, dtype=bool)[reward == 1]
            returns[episode] += reward.mean()
    return returns


def test_an_unknown_task_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(Exception, match="did you mean 'darkroom'"):
        find("darkrom")
