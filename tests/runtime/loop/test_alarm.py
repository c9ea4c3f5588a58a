from __future__ import annotations

import signal
import time

import pytest

from dmh_edge.runtime.loop.alarm import alarm
from waiting import PATIENCE_S


class TimeIsUp(BaseException):
    pass


def limit(seconds: float):
    """Raises from that many seconds after its first call on."""
    until: list[float] = []

    def seconds_left() -> float:
        until[:] = until or [time.monotonic() + seconds]
        if (left := until[0] - time.monotonic()) <= 0:
            raise TimeIsUp
        return left

    return seconds_left


def test_what_blocks_is_interrupted_at_the_limit():
    began = time.monotonic()
    with pytest.raises(TimeIsUp), alarm(limit(0.05)):
        time.sleep(PATIENCE_S)
    assert 0.05 <= time.monotonic() - began < PATIENCE_S


def test_code_that_swallows_every_exception_does_not_swallow_the_interruption():
    def stubborn() -> None:
        try:
            time.sleep(PATIENCE_S)
        except Exception:  # noqa: BLE001
            time.sleep(PATIENCE_S)

    began = time.monotonic()
    with pytest.raises(TimeIsUp), alarm(limit(0.05)):
        stubborn()
    assert time.monotonic() - began < PATIENCE_S


def test_a_limit_that_has_moved_on_is_asked_for_again():
    asked = []

    def seconds_left() -> float:
        asked.append(time.monotonic())
        if len(asked) == 4:
            raise TimeIsUp
        return 0.02

    with pytest.raises(TimeIsUp), alarm(seconds_left):
        time.sleep(PATIENCE_S)
    assert len(asked) == 4


def test_what_is_over_in_time_is_not_interrupted_later_and_the_handler_is_given_back():
    before = signal.getsignal(signal.SIGALRM)
    with alarm(limit(0.05)):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before
