"""Intervals of exact sums, and verdicts that no other seed of the bootstrap would change."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.intervals import Interval, intervals
from dmh_edge.studies.bootstrap import Difference, interval, verdict


def test_a_bound_of_zero_is_zero_though_sums_of_thirds_are_not():
    """One hidden task in six differs, by thirds that cancel: the true upper bound is 0."""
    values = np.zeros((3, 16, 3))
    values[:, :6] = [-2 / 3, 1 / 3, 0.1 - 0.3 + 0.2 + 1 / 3]
    (raw,) = intervals(values.mean(-1, keepdims=True))
    assert 0 != raw.low == pytest.approx(0, abs=1e-12)  # what would read as a difference
    found = interval(values)
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert "-" not in str(found)
    assert Difference.of(values).verdict == "not told apart"


def test_a_bound_near_zero_is_never_printed_as_minus_zero():
    assert str(Interval(mean=-0.001, low=-0.24, high=-0.004)) == "0.00 [-0.24, 0.00]"


def test_a_difference_that_another_seed_of_the_bootstrap_would_not_find_is_none():
    """Returns of one training seed on ten tasks; by the first bootstrap the upper bound is below 0, by others not."""
    values = 10 * np.random.default_rng(0).standard_normal((1, 10, 1))
    highs = [interval(values, seed).high for seed in range(10)]
    assert highs[0] < max(highs) - 0.02
    values -= (highs[0] + max(highs)) / 2
    assert interval(values).high < -0.01
    assert Difference.of(values).verdict == "not told apart"
    assert Difference.of(values - 1).verdict == "below"
    assert Difference.of(1 - values).verdict == "above"


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ([(1, 2), (0.5, 3)], "above"),
        ([(-2, -1), (-3, -0.5)], "below"),
        ([(-2, -1), (-3, 0)], "not told apart"),
        ([(-2, -0.004)], "not told apart"),  # which is printed as 0.00
        ([(0, 0)], "not told apart"),
    ],
)
def test_all_bootstraps_must_agree(bounds, said):
    assert verdict(Interval(mean=(low + high) / 2, low=low, high=high) for low, high in bounds) == said
