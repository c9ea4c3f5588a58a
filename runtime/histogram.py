"""Durations counted into buckets of constant relative width: any number of ticks in constant memory.

A percentile is exact to 1/128 of its value; count and maximum are exact.
"""

from __future__ import annotations

from array import array
from typing import Final

#: Buckets per doubling.
_FINE_BITS: Final = 7
_FINE: Final = 1 << _FINE_BITS
#: Longest duration told apart: 2**45 ns, over nine hours.
_LONGEST: Final = (1 << 45) - 1


class Histogram:
    """Counts durations in nanoseconds.

    Attributes:
        count: how many.
        longest_ns: the longest.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_ns = 0
        self._buckets = array("Q", bytes(8 * (_bucket(_LONGEST) + 1)))

    def add(self, duration_ns: int) -> None:
        """Count one; below 0 counts as 0."""
        self.count += 1
        self.longest_ns = max(self.longest_ns, duration_ns)
        self._buckets[_bucket(min(max(duration_ns, 0), _LONGEST))] += 1

    def percentile_ns(self, share: float) -> int:
        """The duration that ``share`` (0 .. 1) of them do not exceed; 0 when there is none."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return min(_upper_ns(bucket), self.longest_ns)
        return 0


def _bucket(duration_ns: int) -> int:
    """Below 256 ns a bucket is one nanosecond wide, then twice as wide with every doubling."""
    coarse = max(duration_ns.bit_length() - _FINE_BITS - 1, 0)
    return (coarse << _FINE_BITS) + (duration_ns >> coarse)


def _upper_ns(bucket: int) -> int:
    """Longest duration of a bucket."""
    coarse = max((bucket >> _FINE_BITS) - 1, 0)
    return (((bucket - (coarse << _FINE_BITS)) + 1) << coarse) - 1
