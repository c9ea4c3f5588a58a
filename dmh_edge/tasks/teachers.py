"""Teachers: who says, at every step that a student makes, what should be done there.

    expert      knows what is hidden
    posterior   knows what the student could know: it draws one of the hidden tasks that are still possible, acts as its
                expert, and draws again when that one is refuted (posterior sampling)
    sweep       knows what the student could know, and searches in the task's own fixed order

A student cannot do what an expert does that knows what is hidden: it comes at best to sample, at every step, from the
expert's actions in all hidden tasks that are still possible. A teacher that knows no more than the student, and sticks
to a guess until it is refuted, shows how to search.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError, unknown
from dmh_edge.names import TeacherName
from dmh_edge.tasks.belief import Belief, candidates
from dmh_edge.tasks.family import Task, Teacher, Transition

#: Nats by which a guess may explain the past worse than the best candidate: a ratio of 22,000 in likelihood. A grid
#: refutes a guess at once. Where rewards are judged with a tolerance, a wrong guess falls this far within a few steps,
#: and a good one does not while candidates beside it take turns in being the best.
REFUTED = 10.0


class Knowing:
    """The task's expert, which knows what is hidden."""

    def __init__(self, task: Task, hidden: NDArray[np.int64]) -> None:
        self._expert, self._hidden = task.expert, hidden

    def advise(self, observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
        """Return the expert's action."""
        return self._expert(observation, self._hidden, phase)

    def observe(self, step: Transition) -> None:
        """Learn nothing: it knows already."""


class PosteriorSampling:
    """Acts as the expert of one hidden task that is still possible, and draws another when that one is refuted.

    Args:
        task: the task.
        candidates: the hidden tasks to consider, ``[K]``; see `belief.candidates`.
        students: number N of students.
        rng: the random generator.

    Raises:
        ConfigError: the task has no ``surprise``.
    """

    def __init__(self, task: Task, candidates: NDArray[np.int64], students: int, rng: np.random.Generator) -> None:
        self._expert, self._rng = task.expert, rng
        self._belief = Belief(task, candidates, students)
        self._held = self._belief.draw(rng)

    def advise(self, observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
        """Return the action of the expert of each student's present guess."""
        return self._expert(observation, self._belief.candidates[self._held], phase)

    def observe(self, step: Transition) -> None:
        """Learn from a step, and draw again for the students whose guess it refuted."""
        self._belief.observe(step)
        refuted = self._belief.shortfall(self._held) > REFUTED
        if refuted.any():
            self._held[refuted] = self._belief.draw(self._rng, refuted)


def available(task: Task) -> tuple[TeacherName, ...]:
    """Return the names of the teachers that a task has."""
    has = {"expert": True, "posterior": task.surprise is not None, "sweep": task.sweep is not None}
    return tuple(name for name in get_args(TeacherName) if has[name])


def teacher(name: TeacherName, task: Task, hidden: NDArray[np.int64], rng: np.random.Generator) -> Teacher:
    """Return a teacher for N students.

    Args:
        name: which teacher.
        task: the task.
        hidden: the hidden task of each student, ``[N]``; only the teacher ``expert`` looks at it.
        rng: random generator of a teacher that draws.

    Raises:
        ConfigError: there is no such teacher, or the task does not have it.
    """
    if name not in get_args(TeacherName):
        raise ConfigError(unknown("teacher", name, get_args(TeacherName)))
    if name == "expert":
        return Knowing(task, hidden)
    if name == "posterior" and task.surprise is not None:
        return PosteriorSampling(task, candidates(task, rng), len(hidden), rng)
    if name == "sweep" and task.sweep is not None:
        return task.sweep(len(hidden))
    lacks = {"posterior": "surprise", "sweep": "sweep"}[name]
    raise ConfigError(
        f"task {task.spec.name!r} has no teacher {name!r}, because its `{lacks}` is None; "
        f"choose one of its teachers: {', '.join(available(task))}"
    )
