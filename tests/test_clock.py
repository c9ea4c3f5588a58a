from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmh_edge.clock import NS_PER_S, FakeClock, MonotonicClock, Rate
from dmh_edge.errors import ConfigError

MS = 1_000_000


def test_slots_lie_on_a_grid_that_no_lateness_moves():
    clock = FakeClock(7)
    rate = Rate(100, clock)
    starts = []
    for work_ms in (1, 9, 4, 0, 8):
        starts.append(rate.wait().start_ns)
        clock.advance_ns(work_ms * MS)
    assert starts == [7 + k * 10 * MS for k in range(5)]


def test_an_overrun_skips_the_slots_that_it_covers_and_never_catches_up():
    clock = FakeClock()
    rate = Rate(100, clock)
    rate.wait()
    clock.advance_ns(35 * MS)
    late, after = rate.wait(), rate.wait()
    assert (late.index, late.start_ns, late.lateness_ns, late.skipped) == (4, 40 * MS, 0, 3)
    assert (after.index, after.skipped) == (5, 0)


def test_a_slot_whose_beginning_was_missed_by_a_nanosecond_is_skipped():
    clock = FakeClock()
    rate = Rate(100, clock)
    rate.wait()
    clock.advance_ns(10 * MS + 1)
    assert rate.wait().index == 2


def test_after_a_restart_the_next_slot_begins_at_once_and_nothing_counts_as_skipped():
    clock = FakeClock()
    rate = Rate(100, clock)
    rate.wait()
    clock.advance_ns(123 * MS)
    rate.restart()
    slot = rate.wait()
    assert (slot.index, slot.start_ns, slot.skipped) == (1, 123 * MS, 0)


@given(st.lists(st.integers(0, 50 * MS), max_size=50), st.floats(1, 1000))
def test_whatever_the_work_takes_a_slot_is_on_the_grid_in_the_future_and_taken_once(work_ns, rate_hz):
    clock = FakeClock(3)
    rate = Rate(rate_hz, clock)
    before = rate.wait()
    for duration_ns in work_ns:
        clock.advance_ns(duration_ns)
        ready_ns = clock.now_ns()
        slot = rate.wait()
        assert slot.start_ns == 3 + slot.index * rate.period_ns
        assert slot.index == before.index + 1 + slot.skipped
        assert slot.start_ns >= ready_ns
        assert slot.start_ns - ready_ns < rate.period_ns or slot.skipped == 0
        assert slot.lateness_ns == 0
        before = slot


@pytest.mark.parametrize("rate_hz", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_no_rate_is_refused(rate_hz):
    with pytest.raises(ConfigError, match="expected a positive number"):
        Rate(rate_hz, FakeClock())


def test_an_interrupted_wait_spends_no_slot():
    clock = FakeClock()
    rate = Rate(100, clock)
    rate.wait()
    assert rate.wait(lambda: True) is None
    assert clock.now_ns() == 0
    assert rate.wait().index == 1


class EarlyClock(FakeClock):
    """Wakes up half way, as after a signal."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.advance_ns(max(1, (deadline_ns - self.now_ns()) // 2))


def test_a_sleep_that_ends_early_is_gone_on_with():
    clock = EarlyClock()
    rate = Rate(100, clock)
    rate.wait()
    slot = rate.wait()
    assert (slot.index, slot.lateness_ns) == (1, 0)


def test_the_machines_clock_wakes_up_at_the_deadline_and_not_before():
    clock = MonotonicClock()
    deadline_ns = clock.now_ns() + 20 * MS
    clock.sleep_until_ns(deadline_ns)
    assert 0 <= clock.now_ns() - deadline_ns < NS_PER_S


def test_a_stop_that_comes_just_before_a_sleep_waits_for_a_tenth_of_a_second_and_not_for_the_slot():
    class Drowsy(FakeClock):
        stop = False

        def sleep_until_ns(self, deadline_ns: int) -> None:
            self.stop = True  # when the loop has looked already
            super().sleep_until_ns(deadline_ns)

    clock = Drowsy(NS_PER_S)
    rate = Rate(0.1, clock)
    assert rate.wait(lambda: clock.stop) is not None
    assert rate.wait(lambda: clock.stop) is None
    assert clock.now_ns() == NS_PER_S + 100 * MS


def test_the_machines_clock_does_not_sleep_for_a_deadline_that_has_passed():
    clock = MonotonicClock()
    before_ns = clock.now_ns()
    clock.sleep_until_ns(before_ns - NS_PER_S)
    assert clock.now_ns() - before_ns < NS_PER_S


def test_a_signal_ends_the_sleep_and_its_handler_has_run_by_then():
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(time.monotonic_ns()))
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        start_ns = time.monotonic_ns()
        MonotonicClock().sleep_until_ns(start_ns + 30 * NS_PER_S)
        assert seen
        assert time.monotonic_ns() - start_ns < 10 * NS_PER_S
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_run_while_the_machines_clock_sleeps():
    passed = threading.Event()
    thread = threading.Timer(0.01, passed.set)
    thread.start()
    clock = MonotonicClock()
    clock.sleep_until_ns(clock.now_ns() + 300 * MS)
    assert passed.is_set()
    thread.join()


def test_a_clock_that_spins_stops_sleeping_before_the_deadline_and_returns_at_it():
    slept = []
    clock = MonotonicClock(spin_ns=20 * MS)
    sleep = clock._sleep
    clock._sleep = lambda *arguments: (sleep(*arguments), slept.append(clock.now_ns()))[0]
    deadline_ns = clock.now_ns() + 40 * MS
    clock.sleep_until_ns(deadline_ns)
    assert clock.now_ns() >= deadline_ns
    assert slept[0] - deadline_ns >= -20 * MS
    asked = clock._until.seconds * NS_PER_S + clock._until.nanoseconds
    assert asked == deadline_ns - 20 * MS


def test_a_signal_ends_the_sleep_of_a_clock_that_spins_and_there_is_no_spin_after_it():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        start_ns = time.monotonic_ns()
        MonotonicClock(spin_ns=MS).sleep_until_ns(start_ns + 30 * NS_PER_S)
        assert time.monotonic_ns() - start_ns < 10 * NS_PER_S
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
