from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dmh_edge.runtime.report.histogram import Histogram

DURATIONS = st.lists(st.one_of(st.integers(0, 1000), st.integers(0, 2**45 - 1)), min_size=1, max_size=60)


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.99, 0.999, 1.0]))
def test_a_percentile_is_exact_to_a_128th(durations, share):
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    exact = int(np.quantile(durations, share, method="inverted_cdf"))
    assert exact <= histogram.percentile_ns(share) <= exact * (1 + 1 / 128)
    assert histogram.longest_ns == max(durations) == histogram.percentile_ns(1.0)
    assert histogram.count == len(durations)


def test_an_empty_one_has_zeros():
    assert (Histogram().percentile_ns(0.5), Histogram().longest_ns, Histogram().count) == (0, 0, 0)


def test_what_is_off_the_scale_counts_at_its_ends():
    histogram = Histogram()
    histogram.add(-5)
    histogram.add(2**60)
    assert histogram.percentile_ns(0.5) == 0
    assert histogram.longest_ns == 2**60


def test_memory_does_not_grow():
    histogram = Histogram()
    tracemalloc.start()
    try:
        for duration in range(0, 10**8, 10**4):
            histogram.add(duration)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1024
