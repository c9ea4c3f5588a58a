"""Grid World: the rules of each room by hand, the numbers of what is hidden, and experts worth imitating."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dmh_edge.tasks import darkroom, find
from dmh_edge.tasks.family import Task
from dmh_edge.tasks.gridworld import DOWN, LARGE, LEFT, RIGHT, SMALL, STAY, TASKS, UP, Room

ALL = np.arange(81)
every_room = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.spec.name)


def play(task: Task, hidden: list[int], actions: list[int]) -> list[tuple[list[float], float, int]]:
    """What one walker sees, earns and has done (cell, reward, phase) after each action; all of ``hidden`` alike."""
    many = task.vector(hidden)
    many.reset()
    steps = []
    for action in actions:
        observation, reward, _, _, info = many.step(np.full(len(hidden), action))
        assert (observation == observation[0]).all()
        assert len(set(reward)) == len(set(info["phase"])) == 1
        steps.append((observation[0].tolist(), float(reward[0]), int(info["phase"][0])))
    return steps


def expert_returns(task: Task, hidden: np.ndarray) -> np.ndarray:
    """Return of one episode for each hidden task."""
    many = task.vector(hidden.tolist())
    observation, info = many.reset()
    total = np.zeros(len(hidden))
    for _ in range(task.spec.horizon):
        observation, reward, _, truncated, info = many.step(task.expert(observation, hidden, info["phase"]))
        total += reward
    assert truncated.all()
    return total


def test_hidden_goals_of_darkroom_are_split_once_and_for_all_into_65_and_16() -> None:
    assert (len(darkroom.TRAIN_IDS), len(darkroom.TEST_IDS)) == (65, 16)
    assert sorted(darkroom.TRAIN_IDS + darkroom.TEST_IDS) == list(range(81))
    assert darkroom.TEST_IDS == (7, 14, 29, 31, 33, 38, 41, 48, 54, 56, 59, 63, 69, 71, 72, 79)
    assert find("darkroom-hard").test_ids == darkroom.TEST_IDS


@every_room
def test_what_is_held_out_is_not_learned_from(task: Task) -> None:
    train, test = set(task.train_ids), set(task.test_ids)
    assert len(train) == len(task.train_ids) >= 65
    assert len(test) == len(task.test_ids) >= 16
    assert not train & test
    task.vector([*task.train_ids, *task.test_ids])  # refuses numbers of nothing


def test_sizes_and_horizons_are_the_papers() -> None:
    assert {task.spec.name: (task.spec.observation[0].levels, task.spec.horizon) for task in TASKS} == {
        "darkroom": (9, 20),
        "darkroom-hard": (9, 20),
        "darkroom-dynamic": (9, 20),
        "key-to-door": (9, 50),
        "large-darkroom": (40, 200),
        "large-darkroom-hard": (40, 200),
        "large-darkroom-dynamic": (40, 200),
        "large-key-to-door": (40, 500),
    }


def test_every_action_moves_as_its_name_says_and_walls_stop() -> None:
    names = ["left", "right", "up", "down", "stay"]
    assert [darkroom.SPEC.action.names.index(name) for name in names] == [LEFT, RIGHT, UP, DOWN, STAY]
    for action, cell in zip((LEFT, RIGHT, UP, DOWN, STAY), ([3, 4], [5, 4], [4, 5], [4, 3], [4, 4]), strict=True):
        assert play(darkroom.TASK, [0], [action]) == [(cell, 0.0, 0)]
    corner = play(darkroom.TASK, [0], [LEFT] * 5 + [UP] * 5)
    assert [cell for cell, *_ in corner[3:5] + corner[8:]] == [[0, 4], [0, 4], [0, 8], [0, 8]]
    assert play(find("large-darkroom"), [0], [RIGHT] * 20)[-2:] == [([39, 20], 0.0, 0)] * 2


def test_darkroom_pays_every_step_that_ends_on_the_goal() -> None:
    right_of_centre = 5 * 9 + 4
    rewards = [reward for _, reward, _ in play(darkroom.TASK, [right_of_centre], [RIGHT, STAY, RIGHT, LEFT])]
    assert rewards == [1, 1, 0, 1]
    for name, size in (("darkroom", 9), ("large-darkroom", 40)):
        many = find(name).vector(range(size * size))
        many.reset()
        _, reward, *_ = many.step(np.full(size * size, STAY))
        assert np.flatnonzero(reward).tolist() == [size // 2 * size + size // 2]


@pytest.mark.parametrize(("name", "goal"), [("darkroom-hard", 5 * 9 + 4), ("large-darkroom-hard", 21 * 40 + 20)])
def test_darkroom_hard_pays_the_first_time_alone_and_anew_in_every_episode(name: str, goal: int) -> None:
    steps = play(find(name), [goal], [STAY, RIGHT, STAY, RIGHT, LEFT])
    assert [(reward, phase) for _, reward, phase in steps] == [(0, 0), (1, 1), (0, 1), (0, 1), (0, 1)]
    many = find(name).vector([goal])
    for _ in range(2):
        many.reset()
        assert many.step(np.array([RIGHT]))[1] == [1]


def test_a_pair_of_key_and_door_is_counted_by_arithmetic_and_never_shares_a_cell() -> None:
    room = Room(3, "door", pays_once=True)
    targets = room.targets(np.arange(room.hidden_tasks))
    cells = [tuple(pair) for pair in (targets @ [3, 1]).tolist()]
    assert cells == list(itertools.permutations(range(9), 2))
    assert Room(SMALL, "door", pays_once=True).hidden_tasks == 6480
    assert Room(LARGE, "door", pays_once=True).targets(np.array([2558399])).tolist() == [[[39, 39], [39, 38]]]


def pair(key: tuple[int, int], door: tuple[int, int]) -> int:
    """Number of a hidden task of key-to-door."""
    ours, other = key[0] * 9 + key[1], door[0] * 9 + door[1]
    return ours * 80 + other - (other > ours)


def test_the_door_pays_after_the_key_alone_and_each_once() -> None:
    hidden = pair(key=(5, 4), door=(3, 4))
    steps = play(find("key-to-door"), [hidden], [LEFT, RIGHT, RIGHT, STAY, LEFT, LEFT, STAY, RIGHT, RIGHT])
    assert [reward for _, reward, _ in steps] == [0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert [phase for *_, phase in steps] == [0, 0, 1, 1, 1, 2, 2, 2, 2]


def test_the_expert_goes_for_the_door_as_soon_as_it_is_told_that_it_has_the_key() -> None:
    task, hidden = find("key-to-door"), np.full(3, pair(key=(5, 4), door=(3, 4)))
    centre = np.full((3, 2), 4, np.float32)
    assert task.expert(centre, hidden, np.array([0, 1, 2])).tolist() == [RIGHT, LEFT, LEFT]


def test_darkroom_dynamic_permutes_the_actions_in_all_120_ways() -> None:
    task = find("darkroom-dynamic")
    cells = []
    for action in range(5):
        many = task.vector(range(120))
        many.reset()
        cells.append(many.step(np.full(120, action))[0])
    ways = {tuple(map(tuple, np.array(cells)[:, hidden].tolist())) for hidden in range(120)}
    assert ways == set(itertools.permutations([(3, 4), (5, 4), (4, 5), (4, 3), (4, 4)]))
    assert [cell for cell, *_ in play(task, [0], [LEFT, UP])] == [[3, 4], [3, 5]]


@every_room
def test_the_expert_gets_the_most_that_can_be_had(task: Task) -> None:
    size, horizon = task.spec.observation[0].levels, task.spec.horizon
    hidden = np.array([*task.train_ids, *task.test_ids])
    steps_to_goal = np.maximum(1, np.abs(np.stack(np.divmod(hidden, size)) - size // 2).sum(axis=0))
    most = {
        "darkroom": horizon + 1 - steps_to_goal,
        "darkroom-hard": 1,
        "darkroom-dynamic": horizon + 1 - 2 * (size - 1 - size // 2),
        "key-to-door": 2,
    }[task.spec.name.removeprefix("large-")]
    assert expert_returns(task, hidden).tolist() == np.broadcast_to(most, len(hidden)).tolist()
    assert task.spec.target_return >= np.max(most)


def test_over_all_goals_the_mean_return_of_darkrooms_expert_is_the_analytic_one() -> None:
    assert expert_returns(darkroom.TASK, ALL).mean() == pytest.approx(21 - 360 / 81 - 1 / 81)


def test_who_imitates_the_expert_without_knowing_the_goal_explores() -> None:
    def x_first(observation: np.ndarray, hidden: np.ndarray, phase: np.ndarray) -> np.ndarray:
        dx, dy = (np.stack(np.divmod(hidden, 9), axis=1) - observation).T
        return np.select([dx < 0, dx > 0, dy > 0, dy < 0], [LEFT, RIGHT, UP, DOWN], STAY)

    ours, other = ideal_imitation(darkroom.expert), ideal_imitation(x_first)
    assert ours[-3:].mean() > 12 > 10 > other[-3:].mean()


def ideal_imitation(expert: Callable[..., np.ndarray], episodes: int = 20) -> np.ndarray:
    """Mean return per episode of one who samples the expert's action for a goal drawn from those still possible."""
    rng = np.random.default_rng(0)
    rooms = darkroom.TASK.vector(ALL.tolist())
    possible = np.ones((81, 81), bool)  # [room, goal]
    returns = np.zeros(episodes)
    for episode in range(episodes):
        observation, info = rooms.reset()
        for _ in range(20):
            believed = np.where(possible, rng.random((81, 81)), -1).argmax(axis=1)
            observation, reward, *_, info = rooms.step(expert(observation, believed, info["phase"]))
            possible[ALL, observation.astype(int) @ [9, 1]] = False
            possible[reward == 1] = np.eye(81, dtype=bool)[reward == 1]
            returns[episode] += reward.mean()
    return returns
