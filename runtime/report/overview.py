"""Long runs as lines of bounded length: the smallest and largest value in every stretch of time, in constant memory.

Time is cut into buckets of equal width. When a run is longer than all buckets, neighbouring buckets are joined and the
width doubles: a spike of one tick stays visible in an hour.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dmh_edge.clock import NS_PER_S
from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.report.tally import FIGURES
from dmh_edge.schema import Spec
from dmh_edge.task import ContinuousAction, names_of

_BUCKETS: Final = 512
_FIRST_WIDTH_S: Final = 0.02
#: Times of a tick that become lines, and their indices in `tally.FIGURES`.
TIMES: Final = ("lateness", "total")
TIME_COLUMNS: Final = [FIGURES.index(f"{name}_ns") for name in TIMES]


class Quantity(Spec):
    """One quantity over time."""

    name: str
    """Name of the quantity."""
    low: tuple[float | None, ...]
    """Smallest value in each bucket; None for a bucket without ticks."""
    high: tuple[float | None, ...]
    """Largest value in each bucket; None for a bucket without ticks."""


class OverTime(Spec):
    """All lines of a run."""

    width_s: float = Field(gt=0)
    """Width of a bucket in seconds; the first bucket begins with the first tick."""
    times: tuple[Quantity, ...]
    """Lateness and total duration of the ticks, in microseconds."""
    actions: tuple[Quantity, ...]
    """Elements of the actions as applied."""


class Overview:
    """Takes ticks as they come, and makes the lines.

    Args:
        contract: contract of the policy, with the names of the action elements.
    """

    def __init__(self, contract: PolicyContract) -> None:
        action = contract.task.action
        self._actions = names_of(action.elements) if isinstance(action, ContinuousAction) else ("choice",)
        self._width_s = _FIRST_WIDTH_S
        self._began_ns: int | None = None
        shape = (_BUCKETS, len(TIMES) + len(self._actions))
        self._low, self._high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, time_ns: NDArray[np.int64], figures_ns: NDArray[np.int64], applied: NDArray[Any]) -> None:
        """Take some ticks.

        Args:
            time_ns: times of the ticks in nanoseconds, ascending, ``[n]``.
            figures_ns: lateness and total duration in nanoseconds, ``[n, 2]``.
            applied: the actions as applied, ``[n, ...]``.
        """
        if not len(time_ns):
            return
        if self._began_ns is None:
            self._began_ns = int(time_ns[0])
        since_s = (time_ns - self._began_ns) / NS_PER_S
        while since_s[-1] >= _BUCKETS * self._width_s:
            self._low, self._high = _joined(self._low, np.minimum), _joined(self._high, np.maximum)
            self._low[_BUCKETS // 2 :], self._high[_BUCKETS // 2 :] = np.inf, -np.inf
            self._width_s *= 2
        buckets = np.clip(since_s / self._width_s, 0, _BUCKETS - 1).astype(int)
        values = np.concatenate([figures_ns / 1000, applied.reshape(len(time_ns), -1)], axis=1)
        np.minimum.at(self._low, buckets, values)
        np.maximum.at(self._high, buckets, values)

    def lines(self) -> OverTime:
        """The lines of all ticks so far."""
        used = np.flatnonzero(np.isfinite(self._low[:, 0]))
        count = int(used[-1]) + 1 if len(used) else 0
        lines = [
            Quantity(name=name, low=_told(self._low[:count, column]), high=_told(self._high[:count, column]))
            for column, name in enumerate((*TIMES, *self._actions))
        ]
        return OverTime(width_s=self._width_s, times=tuple(lines[: len(TIMES)]), actions=tuple(lines[len(TIMES) :]))


def _joined(values: NDArray[np.float64], join: np.ufunc) -> NDArray[np.float64]:
    pairs = values.reshape(_BUCKETS // 2, 2, -1)
    joined = join.reduce(pairs, axis=1)
    return np.concatenate([joined, joined])


def _told(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(float(f"{value:.5g}") if np.isfinite(value) else None for value in values)
