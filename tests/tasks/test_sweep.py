"""Sweeps: tours that visit every cell once, and teachers that find whatever lies on them."""

from __future__ import annotations

import numpy as np
import pytest
from playing import expert_returns, returns

from dmh_edge.tasks import find
from dmh_edge.tasks.family import Transition
from dmh_edge.tasks.gridworld import DOWN, LEFT, RIGHT, STAY, UP, Room, towards
from dmh_edge.tasks.sweep import Sweep, pinwheel, spiral


@pytest.mark.parametrize(("tour", "size"), [(pinwheel, 3), (pinwheel, 9), (spiral, 2), (spiral, 9), (spiral, 40)])
def test_a_tour_visits_every_cell_once_and_the_centre_last(tour: object, size: int) -> None:
    cells = tour(size)  # type: ignore[operator]
    assert sorted(map(tuple, cells.tolist())) == [(x, y) for x in range(size) for y in range(size)]
    assert cells[-1].tolist() == [size // 2] * 2


def test_a_pinwheel_is_four_paths_that_begin_beside_the_centre() -> None:
    for path in pinwheel(9)[:-1].reshape(4, 20, 2):
        assert np.abs(np.diff(path, axis=0, prepend=[[4, 4]])).sum(axis=1).tolist() == [1] * 20


def test_a_spiral_of_odd_size_is_one_path() -> None:
    assert np.abs(np.diff(spiral(9)[:-1], axis=0, prepend=[[4, 4]])).sum(axis=1).tolist() == [1] * 80


@pytest.mark.parametrize(
    ("name", "count", "episodes"),
    [("darkroom", 81, 5), ("darkroom-hard", 81, 5), ("key-to-door", 200, 4), ("large-darkroom", 40, 16)],
)
def test_a_sweep_finds_everything_within_a_few_episodes(name: str, count: int, episodes: int) -> None:
    task = find(name)
    everything = [*task.train_ids, *task.test_ids]
    hidden = np.array(everything)[:: len(everything) // count]
    assert task.sweep is not None
    earned = returns(task, hidden, task.sweep(len(hidden)), episodes + 1)
    assert earned[:, -1].tolist() == expert_returns(task, hidden).tolist()


def test_a_pinwheel_in_darkroom_passes_every_goal_but_the_centre_in_four_episodes() -> None:
    task, hidden = find("darkroom"), np.array([cell for cell in range(81) if cell != 40])
    assert task.sweep is not None
    assert (returns(task, hidden, task.sweep(80), 4).max(axis=1) > 0).all()


def test_rooms_that_hide_no_cell_have_no_sweep_and_short_episodes_or_even_sizes_get_a_spiral() -> None:
    assert find("darkroom-dynamic").sweep is None
    tours = {
        (size, horizon, hidden): Room(size, hidden, pays_once=True).sweep(horizon).args[0].tolist()  # type: ignore[arg-type,union-attr]
        for size, horizon, hidden in ((9, 20, "goal"), (9, 19, "goal"), (40, 1000, "goal"), (9, 50, "door"))
    }
    pinwheels = [case for case, tour in tours.items() if case[0] == 9 and tour == pinwheel(9).tolist()]
    assert pinwheels == [(9, 20, "goal")]
    assert tours[40, 1000, "goal"] == spiral(40).tolist()


def step(end: list[int], reward: float, phase: int = 0) -> Transition:
    """A step of one student that ends on a cell."""
    place = np.float32([end])
    return Transition(place, np.array([phase]), np.array([0]), np.float32([reward]), place, np.zeros(1, bool))


def test_a_student_that_leaves_the_tour_is_led_back_and_what_it_finds_by_chance_counts() -> None:
    sweep = Sweep(np.array([[5, 4], [6, 4], [4, 4]]), 1, towards, 1)
    at = lambda x, y: int(sweep.advise(np.float32([[x, y]]), np.zeros(1, np.int64))[0])  # noqa: E731
    assert (at(4, 4), at(4, 8), at(5, 8)) == (RIGHT, RIGHT, DOWN)
    sweep.observe(step([4, 5], 0))
    assert at(4, 5) in (RIGHT, DOWN)
    sweep.observe(step([5, 4], 0))
    assert (at(5, 4), at(5, 5)) == (RIGHT, RIGHT)
    sweep.observe(step([0, 0], 1))
    assert (at(5, 4), at(0, 4), at(0, 0)) == (DOWN, DOWN, STAY)
    assert at(0, 0) == STAY


def test_the_place_in_the_tour_is_the_same_for_key_and_door() -> None:
    sweep = Sweep(np.array([[5, 4], [6, 4], [6, 5]]), 2, towards, 1)
    sweep.observe(step([5, 4], 0))
    sweep.observe(step([6, 4], 1))  # the key
    at = lambda x, y, phase: int(sweep.advise(np.float32([[x, y]]), np.array([phase]))[0])  # noqa: E731
    assert at(6, 4, 1) == UP
    assert at(4, 4, 0) == RIGHT
    sweep.observe(step([6, 5], 0, phase=0))  # a new episode: the way to the key is no part of the tour
    sweep.observe(step([6, 4], 1, phase=0))
    assert at(6, 4, 1) == UP
    sweep.observe(step([6, 5], 1, phase=1))  # the door
    assert [at(6, 5, phase) for phase in (0, 1, 2)] == [DOWN, STAY, STAY]
    assert at(7, 5, 2) == LEFT
