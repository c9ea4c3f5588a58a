"""Grid World: dark rooms that hide something, which an agent finds by walking.

An agent sees only its own cell, and starts in the centre. What is hidden stays the same over many episodes, so that it
can be learned in context. Rooms are deterministic. There are four rooms, each in two sizes:

    darkroom            a goal that pays 1 for every step that ends on it
    darkroom-hard       the same goal, paid only the first time
    darkroom-dynamic    the goal always lies in a corner; which action moves which way is hidden
    key-to-door         reaching the key pays 1 once, and reaching the door after it pays 1 once

A room has 9x9 cells and an episode 20 steps (50 with a door). With ``large-`` before the name, a room has 40x40 cells
and an episode ten times as many steps.

What is hidden is computed from the hidden task's number k, without a table of two million entries:

    a goal      cell k, which is ``(k // size, k % size)``, column and row
    a door      key and door: ``k // (cells - 1)`` is the key's cell, ``k % (cells - 1)`` the door's among the others
    actions     the permutation of rank k in lexicographic order; rank 0 is the order of the other rooms

On-policy training draws from all hidden tasks but the test ones. The data sets hold fewer of the largest rooms' tasks.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dmh_edge.task import DiscreteAction, Element, Reward, TaskSpec
from dmh_edge.tasks import sweep
from dmh_edge.tasks.belief import MOST
from dmh_edge.tasks.family import AllBut, Task, Teacher, Transition
from dmh_edge.tasks.grid import Grid, Ints, grid_task

#: Change of (x, y) per action; y grows upwards.
MOVES = np.array([[-1, 0], [1, 0], [0, 1], [0, -1], [0, 0]])
LEFT, RIGHT, UP, DOWN, STAY = range(len(MOVES))

#: ``[120, 5]``: the move that each action makes.
_PERMUTATIONS = np.array(list(itertools.permutations(range(len(MOVES)))))
_WANTED = np.argsort(_PERMUTATIONS, axis=1)  # [120, 5]: the action that makes each move


def towards(position: Ints, target: Ints) -> Ints:
    """Return the move ``[N]`` from cells ``[N, 2]`` towards others: the axis with less distance left first."""
    dx, dy = (target - position).T
    along_x = (dx != 0) & ((np.abs(dx) <= np.abs(dy)) | (dy == 0))
    return np.select([along_x & (dx < 0), along_x, dy > 0, dy < 0], [LEFT, RIGHT, UP, DOWN], STAY)


@dataclass(frozen=True)
class Room:
    """The rules of one room.

    Attributes:
        size: cells along either side.
        hidden: what the room hides: the goal's cell, the cells of key and door, or which action moves which way.
        pays_once: whether reaching a target pays once and ends a stage of the episode; if not, every step on it pays.
    """

    size: int
    hidden: Literal["goal", "door", "actions"]
    pays_once: bool

    @property
    def hidden_tasks(self) -> int:
        """Number of hidden tasks."""
        cells = self.size**2
        return {"goal": cells, "door": cells * (cells - 1), "actions": len(_PERMUTATIONS)}[self.hidden]

    def targets(self, hidden: Ints) -> Ints:
        """Return the cells ``[N, stages, 2]`` that must be reached, one after the other."""
        if self.hidden == "actions":
            cells = np.full((len(hidden), 1), self.size**2 - 1)  # the corner at the upper right
        elif self.hidden == "door":
            key, door = np.divmod(hidden, self.size**2 - 1)
            cells = np.stack([key, door + (door >= key)], axis=-1)
        else:
            cells = hidden[:, None]
        return np.stack(np.divmod(cells, self.size), axis=-1)

    def move(
        self, position: Ints, phase: Ints, time: Ints, action: Ints, hidden: Ints
    ) -> tuple[Ints, Ints, NDArray[np.float64]]:
        """Make one step in N rooms; a wall stops a move. See `Grid` for shapes."""
        del time
        effect = _PERMUTATIONS[hidden, action] if self.hidden == "actions" else action
        position = np.clip(position + MOVES[effect], 0, self.size - 1)
        target, left = self._target(phase, hidden)
        reached = (position == target).all(axis=-1) & left
        return position, phase + reached if self.pays_once else phase, reached.astype(np.float64)

    def expert(self, observation: NDArray[np.float32], hidden: Ints, phase: Ints) -> Ints:
        """Return the action ``[N]`` of a shortest path: the axis with less distance left first; stay on the target.

        For an agent that knows the goal, all shortest paths pay the same. The rule between the axes matters for an
        agent that imitates the expert and does not know the goal yet. If it samples from this expert's actions,
        averaged over the goals still possible, it runs straight along one axis or the other, sees most cells, and
        reaches a return of 14 in darkroom within 20 episodes. With the rules "x first" or "longer axis first" it walks
        to and fro around the centre and reaches 8 (`tests/tasks/test_gridworld.py` shows the difference).
        """
        target, _ = self._target(phase, hidden)
        move = towards(observation.astype(np.int64), target)
        return _WANTED[hidden, move] if self.hidden == "actions" else move

    def surprise(self, step: Transition, hidden: Ints) -> NDArray[np.float64]:
        """Return 0 where a hidden task pays and moves as the step did, and infinity where it does not, ``[N]``.

        Rooms are deterministic, so one such step refutes a hidden task for good.
        """
        clock = np.zeros_like(step.phase)  # no room looks at it
        position = step.observation.astype(np.int64)
        position, _, reward = self.move(position, step.phase, clock, step.action, hidden)
        same = (position == step.next_observation).all(axis=-1) & (reward == step.reward)
        return np.where(same, 0.0, np.inf)

    def sweep(self, horizon: int) -> Callable[[int], Teacher] | None:
        """Return what makes a teacher that searches the cells in a fixed order, or None if no cell is hidden.

        A pinwheel loses no step if each of its rectangles fits into an episode. A door lies anywhere, also among the
        cells that were passed before the key was found, and episodes are longer: there a spiral is as good.
        """
        if self.hidden == "actions":
            return None
        quarter, odd = divmod(self.size**2, 4)
        rectangles = odd and quarter <= horizon and self.hidden == "goal"
        tour = sweep.pinwheel(self.size) if rectangles else sweep.spiral(self.size)
        return functools.partial(sweep.Sweep, tour, 2 if self.hidden == "door" else 1, towards)

    def _target(self, phase: Ints, hidden: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the target cell ``[N, 2]`` of the current (or else last) stage, and whether one is left ``[N]``."""
        targets = self.targets(hidden)
        last = targets.shape[1] - 1
        return targets[np.arange(len(hidden)), np.minimum(phase, last)], phase <= last


def _show(position: Ints, time: Ints, hidden: Ints) -> NDArray[np.float32]:
    """Return the observation: only the cell."""
    del time, hidden
    return position.astype(np.float32)


@dataclass(frozen=True)
class _Data:
    """How many hidden tasks there are to learn from and to test on, and how much data is enough to learn from.

    Attributes:
        train: number of hidden tasks to learn from.
        test: number of other hidden tasks, which no data set holds.
        histories: learning histories per hidden task.
        episodes: episodes per history.
    """

    train: int
    test: int
    histories: int
    episodes: int


def _task(name: str, room: Room, horizon: int, target_return: float, data: _Data) -> Task:
    """Return the task of a room. The hidden tasks to learn from are drawn with a fixed seed, so never change."""
    actions = tuple(f"action_{number}" for number in range(len(MOVES))) if room.hidden == "actions" else _ACTIONS
    spec = TaskSpec(
        name=name,
        observation=tuple(
            Element(name=axis, low=0, high=room.size - 1, unit="cell", levels=room.size) for axis in "xy"
        ),
        action=DiscreteAction(names=actions, safe=STAY),
        reward=Reward(meaning=_REWARDS[room.hidden, room.pays_once], low=0, high=1),
        rate_hz=50,
        horizon=horizon,
        target_return=target_return,
    )
    centre = room.size // 2
    shuffled = np.random.default_rng(0).permutation(room.hidden_tasks)
    task = grid_task(
        Grid(spec, room.hidden_tasks, (centre, centre), room.move, _show),
        train_ids=tuple(sorted(shuffled[: data.train].tolist())),
        test_ids=tuple(sorted(shuffled[data.train : data.train + data.test].tolist())),
        expert=room.expert,
        histories_per_task=data.histories,
        episodes_per_history=data.episodes,
    )
    # A belief over a sample of the hidden tasks would be wrong: the sample would give away where the door can be.
    listable = room.hidden_tasks <= MOST
    return replace(
        task,
        pool=AllBut(room.hidden_tasks, task.test_ids),
        surprise=room.surprise if listable else None,
        sweep=room.sweep(horizon),
    )


_ACTIONS = ("left", "right", "up", "down", "stay")
_REWARDS = {
    ("goal", False): "1 for every step that ends on the hidden goal, else 0",
    ("goal", True): "1 for the first step that ends on the hidden goal, else 0",
    ("actions", False): "1 for every step that ends on the goal in the corner, else 0",
    ("door", True): (
        "1 for the first step that ends on the hidden key, and 1 for the first one after it that ends on the "
        "hidden door, else 0"
    ),
}

SMALL, LARGE = 9, 40

_SMALL_GOAL = _Data(train=65, test=16, histories=10, episodes=20)
_LARGE_GOAL = _Data(train=400, test=64, histories=1, episodes=20)
_SMALL_ACTIONS = _Data(train=100, test=20, histories=1, episodes=50)
_LARGE_ACTIONS = _Data(train=100, test=20, histories=1, episodes=20)
_SMALL_DOOR = _Data(train=1000, test=64, histories=1, episodes=20)
_LARGE_DOOR = _Data(train=1000, test=64, histories=1, episodes=10)

#: Name, room, horizon, target return, data. Target returns are those of the paper. If the paper gives none (dynamic) or
#: one that contradicts its reward (15 for large-darkroom, where even the farthest goal pays 161), the target return is
#: the highest possible one.
TASKS = (
    _task("darkroom", Room(SMALL, "goal", pays_once=False), 20, 20, _SMALL_GOAL),
    _task("darkroom-hard", Room(SMALL, "goal", pays_once=True), 20, 1, _SMALL_GOAL),
    _task("darkroom-dynamic", Room(SMALL, "actions", pays_once=False), 20, 13, _SMALL_ACTIONS),
    _task("key-to-door", Room(SMALL, "door", pays_once=True), 50, 2, _SMALL_DOOR),
    _task("large-darkroom", Room(LARGE, "goal", pays_once=False), 200, 200, _LARGE_GOAL),
    _task("large-darkroom-hard", Room(LARGE, "goal", pays_once=True), 200, 1, _LARGE_GOAL),
    _task("large-darkroom-dynamic", Room(LARGE, "actions", pays_once=False), 200, 163, _LARGE_ACTIONS),
    _task("large-key-to-door", Room(LARGE, "door", pays_once=True), 500, 2, _LARGE_DOOR),
)
