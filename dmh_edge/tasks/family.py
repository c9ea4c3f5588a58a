"""What a task is: a spec, a family of hidden tasks, environments and an expert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.task import TaskSpec

#: ``(observation [N, S], hidden [N], phase [N]) -> action [N, A] or [N]``
Expert = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """A family of environments that look the same and differ in something hidden, numbered 0, 1, 2, ...

    Attributes:
        spec: specification of the task. Its name is also the id of the environment in gymnasium:
            ``gymnasium.make(spec.name, hidden=number)``.
        train_ids: hidden tasks to learn from.
        test_ids: hidden tasks that no data set holds. In the T-maze they are training tasks too; `tmaze` says why.
        vector: makes environments for some hidden tasks at once, with autoreset disabled:
            ``reset(options={"reset_mask": mask})`` starts new episodes where ``mask`` is true. The same hidden task can
            occur many times. If episodes differ in length, one that is over can be stepped further.
        expert: policy that knows what is hidden and, in a task with stages, the phase: how many stages are done, which
            the observation does not always show.
        histories_per_task: learning histories per hidden task that are enough to learn from.
        episodes_per_history: episodes from random to expert in each history.
    """

    spec: TaskSpec
    train_ids: tuple[int, ...]
    test_ids: tuple[int, ...]
    vector: Callable[[Sequence[int]], gymnasium.vector.VectorEnv[Any, Any, Any]]
    expert: Expert
    histories_per_task: int
    episodes_per_history: int


def require_hidden(task: str, hidden: object, count: int) -> None:
    """Refuse a value that is not the number of a hidden task.

    Raises:
        ConfigError: the value is not a whole number, or not one from 0 to ``count`` - 1.
    """
    if isinstance(hidden, bool) or not isinstance(hidden, int | np.integer):
        raise ConfigError(f"{task}: got hidden = {hidden!r}, expected a whole number, 0 to {count - 1}")
    if not 0 <= hidden < count:
        raise ConfigError(f"{task}: got hidden = {hidden}, expected 0 to {count - 1}")


def phase_of(info: Mapping[str, Any], count: int) -> NDArray[np.int64]:
    """Return the phases ``[N]`` of ``count`` environments from the ``info`` of a reset or step; 0 if it has none."""
    phase: NDArray[np.int64] = info.get("phase", np.zeros(count, np.int64))
    return phase
