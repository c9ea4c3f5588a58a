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
    """A family of environments that look alike and differ in something hidden, numbered 0, 1, 2, ...

    Attributes:
        spec: what it shows and takes. Its name is also the id under which gymnasium knows one environment:
            ``gymnasium.make(spec.name, hidden=number)``.
        train_ids: hidden tasks to learn from.
        test_ids: hidden tasks that no data set holds. T-maze, which has only two, says why they are the same.
        vector: makes environments for some hidden tasks at once, with autoreset disabled:
            ``reset(options={"reset_mask": mask})`` starts new episodes where ``mask`` is true. The same hidden task may
            be there many times. Where episodes differ in length, one that is over may be stepped on.
        expert: policy that knows what is hidden and, in a task that is done in stages, the phase: how many stages are
            done, which an observation need not tell.
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
        ConfigError: it is not a whole number, or is not below the number of hidden tasks.
    """
    if isinstance(hidden, bool) or not isinstance(hidden, int | np.integer):
        raise ConfigError(f"{task}: got hidden = {hidden!r}, expected a whole number, 0 to {count - 1}")
    if not 0 <= hidden < count:
        raise ConfigError(f"{task}: got hidden = {hidden}, expected 0 to {count - 1}")


def phase_of(info: Mapping[str, Any], count: int) -> NDArray[np.int64]:
    """The phases of ``count`` environments, ``[N]``, by the ``info`` of a reset or step; 0 where it has none."""
    phase: NDArray[np.int64] = info.get("phase", np.zeros(count, np.int64))
    return phase
