"""T-maze: a sign at the start of a long corridor shows which arm pays, L steps before the agent must turn.

It is the passive T-maze of Ni et al. (2023), which DM-H's paper uses to measure how far a memory reaches::

                            arm (L, 1)
    start (0, 0) ---------- junction (L, 0)
                            arm (L, -1)

An agent sees two numbers: whether it stands at the far end, x = L, and a side. The side is that of the paying arm at
the first observation of an episode, that of the arm if the agent stands in an arm, and 0 elsewhere. An episode has
exactly the L + 1 steps that are needed.

**Reward** is 1 for ending in the arm that the sign showed, and -1/L for every earlier step after which x is less than
the number of steps taken: an agent that loses a step cannot arrive in time. The highest return is 1; an agent that
forgets the sign gets 0.5 on average.

``tmaze-<L>`` is the task of memory length L; ``tmaze`` has the shortest length in the paper, 1,000. An even hidden task
pays in the lower arm, an odd one in the upper arm. Tasks 0 and 1 have the whole corridor, and a policy is tested on
them; the next two have half of it, and so on. The shortest corridors teach first that the sign matters; the longer ones
then teach that nothing on the way matters.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.task import DiscreteAction, Element, Reward, TaskSpec
from dmh_edge.tasks.family import Task, Transition
from dmh_edge.tasks.grid import Grid, Ints, grid_task, register

SHORTEST, LONGEST = 2, 1_000_000
DEFAULT = 1000

#: Change of (x, y) per action.
MOVES = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
RIGHT, UP, LEFT, DOWN = range(len(MOVES))

#: Hidden tasks that a policy both learns from and is tested on: there are no others of that length, and each episode
#: shows which one it is. A test measures whether a policy still remembers after L steps, not whether it can learn
#: something new.
WHOLE = (0, 1)
#: No halved corridor is shorter than this.
_SHORTEST_HALF = 8


@dataclass(frozen=True)
class Maze:
    """The rules of mazes with a corridor of ``length`` L, half of it, and so on. See `Grid` for shapes."""

    length: int

    @property
    def hidden_tasks(self) -> int:
        """Number of hidden tasks: two of each length."""
        return 2 * max(1, (self.length // _SHORTEST_HALF).bit_length())

    def far_end(self, hidden: Ints) -> Ints:
        """Return the length ``[N]`` of the corridor of each hidden task."""
        return self.length >> (hidden // 2)

    def horizon(self, hidden: Ints) -> Ints:
        """Return the steps ``[N]`` of an episode: along the corridor and into an arm."""
        return self.far_end(hidden) + 1

    def move(
        self, position: Ints, phase: Ints, time: Ints, action: Ints, hidden: Ints
    ) -> tuple[Ints, Ints, NDArray[np.float64]]:
        """Make one step in N mazes; a wall stops a move."""
        wanted = position + MOVES[action]
        x, y = wanted.T
        far_end = self.far_end(hidden)
        free = ((y == 0) & (x >= 0) & (x <= far_end)) | ((x == far_end) & (np.abs(y) <= 1))
        position = np.where(free[:, None], wanted, position)
        x, y = position.T
        penalty = np.where(x < time, -1 / self.length, 0.0)
        return position, phase, np.where(time > far_end, y == _side(hidden), penalty)

    def show(self, position: Ints, time: Ints, hidden: Ints) -> NDArray[np.float32]:
        """Return the observation ``[N, 2]``: whether the agent is at the far end, and the side."""
        x, y = position.T
        return np.stack([x == self.far_end(hidden), np.where(time == 0, _side(hidden), y)], axis=-1).astype(np.float32)


def expert(observation: NDArray[np.float32], hidden: Ints, phase: Ints) -> Ints:
    """Return the action ``[N]``: along the corridor, then to the paying side, where the wall stops the agent."""
    del phase
    return np.where(observation[:, 0] == 0, RIGHT, np.where(hidden % 2 == 1, UP, DOWN))


def surprise(step: Transition, hidden: Ints) -> NDArray[np.float64]:
    """Return infinity where the sign of the episode's first observation shows the other side, else 0, ``[N]``.

    An agent sees a side before the far end at that observation only.
    """
    far_end, side = step.observation.T
    return np.where((far_end == 0) & (side != 0) & (side != _side(hidden)), np.inf, 0.0)


def _side(hidden: Ints) -> Ints:
    return 2 * (hidden % 2) - 1


@functools.cache
def task(length: int) -> Task:
    """Return the task of memory length L."""
    maze = Maze(length)
    spec = TaskSpec(
        name=f"tmaze-{length}",
        observation=(
            Element(name="far_end", low=0, high=1, levels=2),
            Element(name="side", low=-1, high=1, levels=3),
        ),
        action=DiscreteAction(names=("right", "up", "left", "down"), safe=LEFT),
        reward=Reward(
            meaning="1 for ending in the arm that the sign showed; before, minus 1/L for every step that is behind",
            low=-1 / length,
            high=1,
        ),
        rate_hz=50,
        horizon=length + 1,
        target_return=1,
    )
    made = grid_task(
        Grid(spec, maze.hidden_tasks, (0, 0), maze.move, maze.show, maze.horizon),
        train_ids=tuple(range(maze.hidden_tasks)),
        test_ids=WHOLE,
        expert=expert,
        histories_per_task=4,  # few are enough: they differ only at the corridor's end
        episodes_per_history=3,
    )
    return dataclasses.replace(made, surprise=surprise)


def find(name: str) -> Task | None:
    """Return the task that a name of the form ``tmaze-<L>`` means; None if the name has another form.

    Raises:
        ConfigError: L is out of range.
    """
    match = re.fullmatch(r"tmaze-(\d+)", name, re.ASCII)
    if match is None:
        return None
    length = int(match[1])
    if not SHORTEST <= length <= LONGEST or name != f"tmaze-{length}":
        raise ConfigError(
            f"task {name!r}: got memory length {match[1]}, expected a whole number from {SHORTEST} to {LONGEST:,}"
        )
    return task(length)


TASK = task(DEFAULT)
register("tmaze", TASK.spec.name, TASK.spec.horizon)
