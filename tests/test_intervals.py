"""Intervals are those of a plain bootstrap, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.intervals import intervals


def slow_bootstrap(values: np.ndarray, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw seeds and draw tasks, copy, average: as the definition has it."""
    random = np.random.default_rng(99)
    seeds, tasks, _ = values.shape
    means = [
        values[random.integers(seeds, size=seeds)][:, random.integers(tasks, size=tasks)].mean((0, 1))
        for _ in range(resamples)
    ]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def test_intervals_are_those_of_a_bootstrap_over_seeds_and_tasks():
    random = np.random.default_rng(0)
    of_seed, of_task = random.standard_normal((3, 1, 2)), 2 * random.standard_normal((1, 12, 2))
    values = of_seed + of_task + random.standard_normal((3, 12, 2)) + [0, 10]
    found = intervals(values)
    low, high = slow_bootstrap(values, 10_000)
    for k in range(2):
        assert found[k].mean == pytest.approx(values[..., k].mean())
        assert found[k].low == pytest.approx(low[k], abs=0.06)  # four times the scatter of a percentile here
        assert found[k].high == pytest.approx(high[k], abs=0.06)
    assert intervals(values) == found  # and no chance in it


def test_what_never_varies_has_no_width():
    (found,) = intervals(np.full((2, 5, 1), 3.0))
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3, 3))
    assert str(found) == "3.00 [3.00, 3.00]"
