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

    def bars(self, per_decade: int) -> list[tuple[float, float, int]]:
        """Counts in wider buckets, for a picture: ``(from_ns, to_ns, count)``, only those that are not empty.

        Args:
            per_decade: how many of them a factor of ten is cut into; the first one also holds all below 1 us.
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
    """Below 256 ns a bucket is one nanosecond wide, then twice as wide with every doubling."""
    coarse = max(duration_ns.bit_length() - _FINE_BITS - 1, 0)
    return (coarse << _FINE_BITS) + (duration_ns >> coarse)


def _upper_ns(bucket: int) -> int:
    """Longest duration of a bucket."""
    coarse = max((bucket >> _FINE_BITS) - 1, 0)
    return (((bucket - (coarse << _FINE_BITS)) + 1) << coarse) - 1
