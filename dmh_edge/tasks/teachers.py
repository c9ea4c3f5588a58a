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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.names import TeacherName
from dmh_edge.tasks.family import Task, Teacher, Transition


class Knowing:
    """The task's expert, which knows what is hidden."""

    def __init__(self, task: Task, hidden: NDArray[np.int64]) -> None:
        self._expert, self._hidden = task.expert, hidden

    def advise(self, observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
        """Return the expert's action."""
        return self._expert(observation, self._hidden, phase)

    def observe(self, step: Transition) -> None:
        """Learn nothing: it knows already."""


def teacher(
    name: TeacherName,
    task: Task,
    hidden: NDArray[np.int64],
    rng: np.random.Generator,  # noqa: ARG001 (posterior sampling will draw)
) -> Teacher:
    """Return a teacher for N students.

    Args:
        name: which teacher.
        task: the task.
        hidden: the hidden task of each student, ``[N]``; only the teacher ``expert`` looks at it.
        rng: random generator of a teacher that draws.

    Raises:
        ConfigError: the task has no such teacher.
    """
    if name == "expert":
        return Knowing(task, hidden)
    if name == "sweep" and task.sweep is not None:
        return task.sweep(len(hidden))
    raise ConfigError(f"task {task.spec.name!r} has no teacher {name!r}; set on_policy.teacher to expert")
