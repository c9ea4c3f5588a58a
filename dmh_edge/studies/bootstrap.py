"""Means with their 95% intervals, and the verdict that the interval of a difference allows.

The bounds of an interval come from one bootstrap of 10,000 resamples, and another seed moves them a little. So one
side counts as above or below the other only if the interval of the difference excludes 0 with each of several seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmh_edge.evaluate import Returns
from dmh_edge.intervals import Interval, intervals

#: Number of bootstraps that must agree, each with its own seed. The interval of seed 0 is printed.
BOOTSTRAPS = 10
#: Decimals that are kept. The mean of returns that are whole numbers is a multiple of a much larger fraction. The
#: decimals after these are rounding errors of a sum, and without them a bound of 0 is exactly 0.
_DECIMALS = 9
#: Decimals of a printed interval. A bound that is printed as 0.00 does not exclude 0.
_PRINTED = 2

ABOUT_VERDICTS = (
    f"*Above* and *below* mean: the 95% interval of the difference excludes 0 with each of {BOOTSTRAPS} seeds of the "
    "bootstrap. The printed interval is that of the first seed."
)


@dataclass(frozen=True)
class Difference:
    """How far one side is above the other.

    Attributes:
        interval: mean of the difference and its 95% interval.
        verdict: ``above``, ``below`` or ``not told apart``.
    """

    interval: Interval
    verdict: str

    def __str__(self) -> str:
        return str(self.interval)

    @classmethod
    def of(cls, values: Returns) -> Difference:
        """Summarise differences ``[seeds, tasks, episodes]``."""
        found = [interval(values, seed) for seed in range(BOOTSTRAPS)]
        return cls(found[0], verdict(found))


def interval(values: Returns, seed: int = 0) -> Interval:
    """Mean and 95% interval of the means over the episodes.

    Args:
        values: returns or differences, ``[seeds, tasks, episodes]``.
        seed: seed of the bootstrap.
    """
    (found,) = intervals(values.mean(-1, keepdims=True), seed)
    return Interval(mean=_exact(found.mean), low=_exact(found.low), high=_exact(found.high))


def verdict(found: Iterable[Interval]) -> str:
    """The verdict on a difference from its intervals, one interval for each seed of the bootstrap."""
    found = list(found)
    if all(round(one.low, _PRINTED) > 0 for one in found):
        return "above"
    return "below" if all(round(one.high, _PRINTED) < 0 for one in found) else "not told apart"


def _exact(value: float) -> float:
    return round(value, _DECIMALS) + 0.0  # adding 0.0 turns -0.0 into 0.0
