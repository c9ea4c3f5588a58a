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


def advised(sweep: Sweep, x: int, y: int, phase: int = 0) -> int:
    """What the teacher of one student advises on a cell."""
    return int(sweep.advise(np.float32([[x, y]]), np.array([phase]))[0])


def test_the_search_goes_on_from_where_the_student_is_while_the_next_cell_was_not_tried() -> None:
    sweep = Sweep(spiral(3), 1, towards, 1)  # (2, 1), (2, 2), (1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), centre
    sweep.observe(step([2, 1], 0))
    assert advised(sweep, 2, 1) == UP
    assert advised(sweep, 0, 2) == DOWN  # a student that has left the tour
    sweep.observe(step([0, 1], 0))
    assert advised(sweep, 0, 2) == RIGHT  # (0, 1) was tried, so to (2, 2), the first cell that was not
    assert advised(sweep, 1, 1) == RIGHT  # where the next episode starts: (2, 1) was tried too
    sweep.observe(step([2, 2], 0))
    assert advised(sweep, 2, 2) == LEFT


def test_what_is_found_by_chance_counts_and_is_gone_to_from_then_on() -> None:
    sweep = Sweep(spiral(3), 1, towards, 1)
    sweep.observe(step([0, 0], 1))
    assert [advised(sweep, x, y) for x, y in ((2, 0), (0, 1), (0, 0))] == [LEFT, DOWN, STAY]


def test_a_search_that_found_nothing_begins_again() -> None:
    sweep = Sweep(spiral(3), 1, towards, 1)
    for cell in spiral(3).tolist():
        sweep.observe(step(cell, 0))
    assert advised(sweep, 1, 1) == RIGHT
    sweep.observe(step([2, 1], 0))
    assert advised(sweep, 2, 1) == UP


def test_the_door_is_sought_from_the_key_on_and_cells_that_hold_no_key_can_hold_it() -> None:
    sweep = Sweep(spiral(3), 2, towards, 1)
    sweep.observe(step([2, 1], 0))
    sweep.observe(step([2, 2], 1))  # the key
    assert advised(sweep, 2, 2, phase=1) == LEFT
    sweep.observe(step([1, 2], 0, phase=1))
    assert advised(sweep, 1, 1, phase=0) in (RIGHT, UP)  # a new episode: to the key
    sweep.observe(step([2, 2], 1, phase=0))
    assert advised(sweep, 2, 2, phase=1) == DOWN  # (1, 2) was tried, so to (2, 1), where no key was
    sweep.observe(step([2, 1], 1, phase=1))  # the door
    assert [advised(sweep, 2, 1, phase) for phase in (0, 1, 2)] == [UP, STAY, STAY]
    assert advised(sweep, 1, 1, phase=2) == RIGHT
