"""A search in a fixed order: a tour over all cells of a room, which goes on from episode to episode.

A pinwheel goes round the four rectangles beside the centre, one after the other. Each begins next to the centre, where
episodes start, so that no step is lost if a rectangle fills an episode::

    2 2 2 1 1
    2 2 2 1 1
    3 3 . 1 1
    3 3 4 4 4
    3 3 4 4 4

A spiral winds outwards from the centre. A new episode must first walk to where the last one ended.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dmh_edge.tasks.family import Transition

Ints = NDArray[np.int64]
_AROUND = ((1, 0), (0, 1), (-1, 0), (0, -1))  # the four directions, counter-clockwise


def pinwheel(size: int) -> Ints:
    """Return the cells of a room of odd size in the order of a pinwheel, the centre last: ``[size**2, 2]``."""
    half = size // 2
    columns = np.arange(1, half + 1)
    snake = [(x, y) for y in range(half + 1) for x in (columns if y % 2 == 0 else columns[::-1])]
    rectangle = np.array(snake, np.int64)  # offsets from the centre
    turn = np.array([[0, 1], [-1, 0]])  # (x, y) @ turn = (-y, x)
    turned = [rectangle @ np.linalg.matrix_power(turn, quarter) for quarter in range(4)]
    return np.concatenate([*turned, np.zeros((1, 2), np.int64)]) + half


def spiral(size: int) -> Ints:
    """Return the cells of a room in the order of a spiral, the centre last: ``[size**2, 2]``."""
    centre = place = np.full(2, size // 2)
    cells = []
    for leg in range(2 * size + 1):  # legs of 1, 1, 2, 2, 3, 3, ... cells
        for _ in range(leg // 2 + 1):
            place = place + _AROUND[leg % 4]
            if place.min() >= 0 and place.max() < size:
                cells.append(place)
    return np.stack([*cells, centre])


class Sweep:
    """A teacher that searches along a tour until it has found what it seeks, and from then on goes straight there.

    While the next cell of the tour has not been tried, it goes there; else it goes to the first cell of the tour that
    has not. So the advice depends on little but where the student is, also for one that has left the tour, and is easy
    to imitate. After the last cell the search begins again.

    Args:
        tour: all cells of the room in the order of the search, ``[cells, 2]``.
        stages: number of cells that must be reached one after the other.
        towards: ``(position [N, 2], target [N, 2]) -> action [N]``.
        students: number N of students.
    """

    def __init__(self, tour: Ints, stages: int, towards: Callable[[Ints, Ints], Ints], students: int) -> None:
        self._tour, self._towards = tour, towards
        self._index = np.empty(tour.max(axis=0) + 1, np.int64)  # place of each cell in the tour, [size, size]
        self._index[tuple(tour.T)] = np.arange(len(tour))
        self._near = np.abs(np.roll(tour, -1, axis=0) - tour).sum(axis=1) == 1  # whether the next cell is a neighbour
        self._tried = np.zeros((students, stages, len(tour)), np.bool_)
        self._found = np.full((students, stages, 2), -1, np.int64)  # cells; -1 where still unknown
        self._rows = np.arange(students)

    def advise(self, observation: NDArray[np.float32], phase: Ints) -> Ints:
        """Return the move towards the cell that is sought, or towards the next one that was not tried."""
        position, stage = observation.astype(np.int64), self._stage(phase)
        place = self._index[tuple(position.T)]
        following = (place + 1) % len(self._tour)
        tried = self._tried[self._rows, stage]  # [N, cells]
        go_on = self._near[place] & ~tried[self._rows, following]
        sought = self._tour[np.where(go_on, following, tried.argmin(axis=1))]
        known = self._found[self._rows, stage]
        return self._towards(position, np.where(known >= 0, known, sought))

    def observe(self, step: Transition) -> None:
        """Remember that a cell was tried and, if it paid, that it is the one."""
        position, stage = step.next_observation.astype(np.int64), self._stage(step.phase)
        seeking = (step.phase < self._found.shape[1]) & (self._found[self._rows, stage, 0] < 0)
        rows, stages = self._rows[seeking], stage[seeking]
        self._tried[rows, stages, self._index[tuple(position[seeking].T)]] = True
        self._tried[self._tried.all(axis=2)] = False
        found = seeking & (step.reward > 0)
        self._found[found, stage[found]] = position[found]

    def _stage(self, phase: Ints) -> Ints:
        """Return the stage of each student; after the last one, it stays at the last cell."""
        return np.minimum(phase, self._found.shape[1] - 1)
