"""What a task is: a spec, a family of hidden tasks, environments and an expert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import TaskSpec


@dataclass(frozen=True)
class Task:
    """A family of environments that look alike and differ in something hidden, numbered 0, 1, 2, ...

    Attributes:
        spec: what it shows and takes; also the id under which gymnasium knows one environment,
            ``gymnasium.make(spec.name, hidden=number)``.
        train_ids: hidden tasks to learn from.
        test_ids: hidden tasks that no data set holds.
        vector: environments for some hidden tasks at once, with autoreset disabled: ``reset(options={"reset_mask":
            mask})`` starts new episodes where ``mask`` is true.
        expert: ``(observation [N, S], hidden ids [N]) -> action [N, A] or [N]``, which knows what is hidden.
        histories_per_task: learning histories per hidden task that are enough to learn from.
        episodes_per_history: episodes from random to expert in each of them.
    """

    spec: TaskSpec
    train_ids: tuple[int, ...]
    test_ids: tuple[int, ...]
    vector: Callable[[Sequence[int]], gymnasium.vector.VectorEnv[Any, Any, Any]]
    expert: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[Any]]
    histories_per_task: int
    episodes_per_history: int
