from __future__ import annotations

import signal
import threading

import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.runtime.operator.signals import StopRequested, StopSignals


def raised_by(call) -> bool:
    try:
        call()
    except StopRequested:
        return True
    return False


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("phase", "raised"),
    [
        ("starting", [False, False, False]),
        ("waiting", [True, False, False]),
        ("running", [False, True, False]),
        ("stopping", [False, False, False]),
    ],
)
def test_each_phase_takes_signals_in_its_own_way_and_raises_at_most_once(phase, raised):
    with StopSignals() as signals:
        assert not signals.requested()
        signals.phase = phase
        assert [raised_by(interrupt) for _ in raised] == raised
        assert signals.requested()


def test_the_first_signal_is_the_one_that_counts():
    with StopSignals() as signals:
        signals.phase = "stopping"
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert signals.received == "SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_whatever_a_person_ends_a_program_with_is_a_stop(number):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with StopSignals() as signals:
            signal.raise_signal(number)
            assert signals.received == number.name
    finally:
        signal.signal(number, before)


def test_who_wants_the_program_to_outlive_the_terminal_gets_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_robots_own_error_handling_cannot_swallow_it():
    assert not issubclass(StopRequested, Exception)


def test_afterwards_the_handlers_are_the_ones_from_before():
    def own(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        with StopSignals():
            assert signal.getsignal(signal.SIGTERM) is not own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_than_the_main_one_is_refused():
    errors: list[ConfigError] = []

    def enter() -> None:
        try:
            with StopSignals():
                pass
        except ConfigError as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])
