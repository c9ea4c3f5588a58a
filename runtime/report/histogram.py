"""Durations counted into buckets of constant relative width: any number of ticks in constant memory.

A percentile is exact to 1/128 of its value; count and maximum are exact.
"""

from __future__ import annotations

import math
from array import array
from typing import Final

#: Buckets per doubling.
_FINE_BITS: Final = 7
_FINE: Final = 1 << _FINE_BITS
#: Longest duration that has its own bucket: 2**45 ns, over nine hours.
_LONGEST: Final = (1 << 45) - 1


class Histogram:
    """Counts durations in nanoseconds.

    Attributes:
        count: number of durations.
        longest_ns: the longest duration in nanoseconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_ns = 0
        self._buckets = array("Q", bytes(8 * (_bucket(_LONGEST) + 1)))

    def add(self, duration_ns: int) -> None:
        """Count one duration; a value below 0 counts as 0."""
        self.count += 1
        self.longest_ns = max(self.longest_ns, duration_ns)
        self._buckets[_bucket(min(max(duration_ns, 0), _LONGEST))] += 1

    def percentile_ns(self, share: float) -> int:
        """The duration that a ``share`` (0 .. 1) of all durations do not exceed; 0 when there are none."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return min(_upper_ns(bucket), self.longest_ns)
        return 0

    def bars(self, per_decade: int) -> list[tuple[float, float, int]]:
        """Counts in wider buckets, for a chart: ``(from_ns, to_ns, count)`` of each bucket that is not empty.

        Args:
            per_decade: number of buckets per factor of ten; the first bucket also holds everything below 1 us.
        """
        counts: dict[int, int] = {}
        for bucket, count in enumerate(self._buckets):
            if count:
                place = max(math.floor(math.log10(max(_upper_ns(bucket), 1) / 1000) * per_decade), 0)
                counts[place] = counts.get(place, 0) + count
        return [
            (1000 * 10 ** (place / per_decade), 1000 * 10 ** ((place + 1) / per_decade), count)
            for place, count in sorted(counts.items())
        ]


def _bucket(duration_ns: int) -> int:
    """The bucket of a duration. Below 256 ns it is one nanosecond wide, then twice as wide with every doubling."""
    coarse = max(duration_ns.bit_length() - _FINE_BITS - 1, 0)
    return (coarse << _FINE_BITS) + (duration_ns >> coarse)


def _upper_ns(bucket: int) -> int:
    """The longest duration in a bucket, in nanoseconds."""
    coarse = max((bucket >> _FINE_BITS) - 1, 0)
    return (((bucket - (coarse << _FINE_BITS)) + 1) << coarse) - 1
