"""Means with their 95% bootstrap intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.schema import Spec

_RESAMPLES = 10_000


class Interval(Spec):
    """A mean and its 95% bootstrap interval."""

    mean: float
    """Mean of the values."""
    low: float
    """Lower bound: 2.5% of the resampled means lie below it."""
    high: float
    """Upper bound: 2.5% of the resampled means lie above it."""

    def __str__(self) -> str:
        mean, low, high = (round(value, 2) + 0.0 for value in (self.mean, self.low, self.high))  # 0.00, never -0.00
        return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def intervals(values: NDArray[np.float64], seed: int = 0) -> list[Interval]:
    """Return mean and 95% interval of each column of ``[seeds, tasks, K]``, resampling both seeds and tasks.

    The same values and the same seed always give the same intervals. Another seed moves their bounds a little.
    """
    random = np.random.default_rng(seed)
    seeds, tasks, _ = values.shape
    by_seed = random.integers(seeds, size=(_RESAMPLES, seeds))
    by_task = random.integers(tasks, size=(_RESAMPLES, tasks))
    # Counts how often each seed and each task was drawn. So a resampled mean is a weighted mean, without any copy.
    seed_weight = _frequencies(by_seed, seeds)  # [R, seeds]
    task_weight = _frequencies(by_task, tasks)  # [R, tasks]
    means = np.einsum("rs,stk,rt->rk", seed_weight, values, task_weight, optimize=True)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    mean = values.mean((0, 1))
    return [Interval(mean=m, low=a, high=b) for m, a, b in zip(mean, low, high, strict=True)]


def _frequencies(drawn: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    resamples = len(drawn)
    flat = drawn + size * np.arange(resamples)[:, None]
    frequencies: NDArray[np.float64] = np.bincount(flat.ravel(), minlength=resamples * size) / drawn.shape[1]
    return frequencies.reshape(resamples, size)
