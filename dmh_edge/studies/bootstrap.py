"""Means with their 95% intervals, and what the interval of a difference allows to say.

The bounds of an interval are those of one bootstrap of 10,000 resamples. Another seed moves them a little. A difference
counts as a difference only if its interval excludes 0 with every one of several seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmh_edge.evaluate import Returns
from dmh_edge.intervals import Interval, intervals

#: Bootstraps with different seeds that must agree. The interval that is printed is that of seed 0.
BOOTSTRAPS = 10
#: Decimals that are kept. A mean of returns of whole numbers is a multiple of a far larger fraction; what lies beyond
#: is the error of sums of floating-point numbers, and without it a bound of 0 is exactly 0.
_DECIMALS = 9
#: Decimals that an interval is printed with. A bound that is printed as 0.00 does not exclude 0.
_PRINTED = 2

ABOUT_VERDICTS = (
    f"*Above* and *below* mean: the 95% interval of the difference excludes 0 with each of {BOOTSTRAPS} seeds of the "
    "bootstrap. The printed interval is that of the first seed."
)


@dataclass(frozen=True)
class Difference:
    """How much one side is above another.

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
        values: ``[seeds, tasks, episodes]``.
        seed: seed of the bootstrap.
    """
    (found,) = intervals(values.mean(-1, keepdims=True), seed)
    return Interval(mean=_exact(found.mean), low=_exact(found.low), high=_exact(found.high))


def verdict(found: Iterable[Interval]) -> str:
    """What the intervals of one difference allow to say, one interval for each seed of the bootstrap."""
    found = list(found)
    if all(round(one.low, _PRINTED) > 0 for one in found):
        return "above"
    return "below" if all(round(one.high, _PRINTED) < 0 for one in found) else "not told apart"


def _exact(value: float) -> float:
    return round(value, _DECIMALS) + 0.0  # which makes -0.0 to 0.0
