"""A belief: which hidden tasks are still possible, for N students at once.

candidates [K]      numbers of the hidden tasks that are considered
log weight [N, K]   log-likelihood of all that a student saw under each candidate, relative to the best one: 0 for
                    the best candidate, minus infinity for one that a step refuted
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.task import DiscreteAction
from dmh_edge.tasks.family import Task, Transition

#: Largest pool whose hidden tasks are all candidates, and number of candidates that are drawn from a larger one.
MOST, DRAWN = 8192, 2048

#: Numbers that are computed at once, and numbers that are kept, so that memory stays below a few hundred megabytes.
_AT_ONCE, _KEPT = 1 << 19, 1 << 24


def must_sample(task: Task) -> bool:
    """Return whether a task has too many hidden tasks to consider them all."""
    return len(task.pool or task.train_ids) > MOST


def candidates(task: Task, rng: np.random.Generator, besides: Sequence[int] = ()) -> NDArray[np.int64]:
    """Return the hidden tasks that a belief considers, ``[K]``, sorted and each once.

    Args:
        task: the task.
        rng: random generator; it is used only if the task has too many hidden tasks to consider them all.
        besides: hidden tasks to consider in any case.
    """
    numbers = task.draw(rng, DRAWN) if must_sample(task) else list(task.pool or task.train_ids)
    return np.union1d(np.array(numbers, np.int64), np.array(besides, np.int64))


class Belief:
    """What N students can know of their hidden tasks.

    Args:
        task: the task; its ``surprise`` judges each candidate.
        candidates: the hidden tasks to consider, ``[K]``, all equally likely at first.
        students: number N of students.

    Raises:
        ConfigError: the task has no ``surprise``.
    """

    def __init__(self, task: Task, candidates: NDArray[np.int64], students: int) -> None:
        if task.surprise is None:
            raise ConfigError(
                f"task {task.spec.name!r}: a belief needs `surprise`, which says how badly a hidden task explains a "
                "step; got None; set it in the Task"
            )
        self.candidates = candidates
        self._name, self._surprise = task.spec.name, task.surprise
        self._log_weight = np.zeros((students, len(candidates)))
        # On a grid, the same few steps recur all the time. Where actions are continuous, no step does.
        self._capacity = _KEPT // len(candidates) if isinstance(task.spec.action, DiscreteAction) else 0
        self._known: dict[bytes, NDArray[np.float32]] = {}

    @property
    def weights(self) -> NDArray[np.float64]:
        """Probability of each candidate, ``[N, K]``; each row sums to 1."""
        weights = np.exp(self._log_weight)
        weights /= weights.sum(axis=1, keepdims=True)
        return weights

    def observe(self, step: Transition) -> None:
        """Learn from a step of all students.

        If a student has refuted every candidate, its true hidden task is none of them, or something has changed: all
        become possible again, and it judges them by this step alone.

        Raises:
            ConfigError: the task's ``surprise`` returned something else than N numbers.
        """
        evidence = self._surprises(step) / -2
        self._log_weight += evidence
        best = self._log_weight.max(axis=1, keepdims=True)
        if (lost := np.isneginf(best[:, 0])).any():
            anew = evidence[lost]
            anew[np.isneginf(anew).all(axis=1)] = 0
            self._log_weight[lost] = anew
            best[lost] = anew.max(axis=1, keepdims=True)
        self._log_weight -= best

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Make all candidates equally likely again for the students where ``rows [N]`` is true."""
        self._log_weight[rows] = 0

    def draw(self, rng: np.random.Generator, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Draw a candidate for each student where ``rows [N]`` is true, or for all, by its probability.

        Returns:
            index of each candidate in ``candidates``, ``[number of rows]``.
        """
        cumulative = np.exp(self._log_weight if rows is None else self._log_weight[rows])
        np.cumsum(cumulative, axis=1, out=cumulative)
        levels = rng.random(len(cumulative)) * cumulative[:, -1]
        found = [np.searchsorted(row, level, side="right") for row, level in zip(cumulative, levels, strict=True)]
        return np.minimum(np.array(found, np.int64), len(self.candidates) - 1)

    def shortfall(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return by how many nats one candidate per student, ``[N]``, explains the past worse than the best one."""
        shortfall: NDArray[np.float64] = -self._log_weight[np.arange(len(indices)), indices]
        return shortfall

    def _surprises(self, step: Transition) -> NDArray[np.float64]:
        """Return the surprise of each candidate at a step of each student, ``[N, K]``."""
        if self._capacity == 0:
            return self._compute(step, np.arange(len(step.reward)))
        keys = _keys(step)
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        new = [key for key in first if key not in self._known]
        rows = {key: self._known[key] for key in first if key in self._known}
        if new:
            computed = self._compute(step, np.array([first[key] for key in new])).astype(np.float32)
            rows.update(zip(new, computed, strict=True))
            self._known.update((key, rows[key]) for key in new)
            for key in list(self._known)[: max(0, len(self._known) - self._capacity)]:
                del self._known[key]
        return np.stack([rows[key] for key in keys]).astype(np.float64)

    def _compute(self, step: Transition, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        count = len(self.candidates)
        pieces = np.array_split(rows, -(-len(rows) * count // _AT_ONCE))
        result = np.empty((len(rows), count))
        done = 0
        for piece in pieces:
            repeated = _select(step, np.repeat(piece, count))
            found = np.asarray(self._surprise(repeated, np.tile(self.candidates, len(piece))), np.float64)
            if found.shape != repeated.reward.shape or not (found > -np.inf).all():
                raise ConfigError(
                    f"task {self._name!r}: `surprise` returned an array of shape {list(found.shape)}, "
                    f"{int(np.sum(~(found > -np.inf)))} of its values not a number or minus infinity; expected "
                    f"{len(repeated.reward)} values, plus infinity where a step refutes a hidden task"
                )
            result[done : done + len(piece)] = found.reshape(len(piece), count)
            done += len(piece)
        return result


def _select(step: Transition, rows: NDArray[np.int64]) -> Transition:
    return Transition(**{name: values[rows] for name, values in vars(step).items()})


def _keys(step: Transition) -> list[bytes]:
    """Return what identifies each row of a step: equal rows have equal keys."""
    columns = [np.asarray(values, np.float64).reshape(len(step.reward), -1) for values in vars(step).values()]
    return [row.tobytes() for row in np.concatenate(columns, axis=1)]
