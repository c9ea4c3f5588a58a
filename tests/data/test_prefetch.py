import threading
import time

import pytest

from dmh_edge.data.prefetch import AHEAD_PER_WORKER, prefetched
from waiting import PATIENCE_S


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_whoever_is_done_first(workers):
    def make(number):
        time.sleep(0.01 if number % 3 == 0 else 0)
        return number * number

    assert list(prefetched(make, range(10), workers)) == [n * n for n in range(10)]


def test_the_next_ones_are_made_while_one_is_used():
    made, enough = [], threading.Event()

    def make(number):
        made.append(number)
        if len(made) == AHEAD_PER_WORKER + 1:
            enough.set()
        return number

    results = prefetched(make, range(100), 1)
    assert next(results) == 0
    assert enough.wait(PATIENCE_S)
    time.sleep(0.05)
    assert made == list(range(AHEAD_PER_WORKER + 1))  # and no more than that
    results.close()


def test_without_workers_nothing_is_made_ahead():
    made = []
    results = prefetched(made.append, range(3), 0)
    next(results)
    assert made == [0]


def test_an_error_comes_where_its_result_would_have_come():
    def make(number):
        if number == 2:
            raise ValueError("no third")
        return number

    results = prefetched(make, range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no third"):
        next(results)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    results = prefetched(lambda number: number, range(1000), 4)
    next(results)
    results.close()
    assert threading.active_count() == before
