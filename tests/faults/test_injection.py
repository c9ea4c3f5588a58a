"""Every fault in every control mode, injected into the real loop; the monitor in the robot is the judge."""

from __future__ import annotations

import gc

import pytest

from dmh_edge.clock import FakeClock
from dmh_edge.errors import ConfigError
from dmh_edge.faults.catalogue import FAULTS
from dmh_edge.faults.faulty_robot import CALL, FaultyRobot
from dmh_edge.faults.faulty_session import FaultySession
from dmh_edge.faults.injection import MIDDLE, MODES, Injected, faults_of, inject
from dmh_edge.faults.when import When
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.responses import ROW_OF
from dmh_edge.runtime.report.events import Moment
from dmh_edge.runtime.sessions.fake_session import FakeSession, fake_contract

CASES = [(fault, mode) for mode in MODES for fault in faults_of(mode)]
#: These show only after a while.
SLOW = ("frozen", "stuck")
FATAL = {name for name, fault in FAULTS.items() if fault.fatal}
#: Longest time from a fault that lasts to the robot's stop: five slots are held, then comes the one that is not.
HELD_S = 0.121
LONGEST_S = {
    "frozen": 0.5 + HELD_S,
    "stuck": 1.2,
    "write-late": 0.3,  # ten late slots, of which every other one is skipped
    "action-bounds": 1.0 + HELD_S,
    "action-leaps": 1.0 + HELD_S,
    "reset-blocks": 0.3,
    "operator-absent": 0.061,  # the deadman's two and a half periods, to the next slot
} | dict.fromkeys(FATAL - {"reset-blocks", "operator-absent"}, 0.021)


@pytest.fixture(autouse=True, scope="module")
def _small_heap():
    """Every run collects garbage once an episode; what the test runner keeps alive need not be walked each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def run(fault: str, mode: str, when: When = MIDDLE, **more) -> Injected:
    """On a fake clock, but for what blocks for real."""
    return inject(fault, mode, when, clock=None if fault == "reset-blocks" else FakeClock(10**9), **more)


def stands_still(outcome: Injected, fault: str) -> bool:
    said = [event.what for event in outcome.summary.events]
    return said[-2:] == [Moment.STOPPING, Moment.STOPPED] or (fault == "disconnects" and Fault.STOP_FAILED in said)


def check(outcome: Injected, fault: str) -> None:
    """What holds whatever the fault, and whenever it comes."""
    assert outcome.violations == ()
    assert outcome.injected
    assert stands_still(outcome, fault)


@pytest.mark.parametrize(("fault", "mode"), CASES)
def test_once_in_the_middle_of_an_episode_it_is_bridged_or_stops_the_robot_at_once(fault, mode):
    outcome = run(fault, mode, When(at=7, lasts=1), ticks=20)
    check(outcome, fault)
    assert outcome.stopped == (fault in FATAL), outcome.summary.detail
    if fault not in SLOW and (seen := FAULTS[fault].seen_as):
        assert outcome.summary.faults[seen.value] >= 1
        (event, *_) = [event for event in outcome.summary.events if event.what == seen.value]
        assert event.slot >= (0 if fault == "action-leaps" else 6)


@pytest.mark.parametrize(("fault", "mode"), CASES)
def test_at_the_first_tick_of_an_episode_nothing_illegal_comes_of_it(fault, mode):
    first = 8 if fault.startswith(("action", "state", "compute", "engine")) else 9  # nine readings, eight steps each
    outcome = run(fault, mode, When(at=first, lasts=1), horizon=8, ticks=20)
    check(outcome, fault)


@pytest.mark.parametrize(("fault", "mode"), CASES)
def test_as_long_as_it_lasts_it_ends_in_a_stop_within_its_time(fault, mode):
    outcome = run(fault, mode)
    check(outcome, fault)
    assert outcome.stopped, outcome.summary
    assert outcome.to_stop_s is not None
    longest_s = LONGEST_S.get(fault, HELD_S)
    if "delayed" in mode:  # a proposal that took too long is still written in time: it only costs slots
        longest_s = LONGEST_S["write-late"] if fault == "compute-late" else longest_s + 0.021
    assert outcome.to_stop_s <= longest_s


@pytest.mark.parametrize("fault", ["sigint", "sigterm", "read-raises", "state-nan"])
def test_in_real_time_too(fault):
    """With signals from another process, between two slots or in the middle of one."""
    outcome = inject(fault)
    assert outcome.stopped
    assert stands_still(outcome, fault)
    assert [
        violation for violation in outcome.violations if violation.rule != "silence"
    ] == []  # a busy machine is late


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["read-late", "compute-late", "write-late"])
def test_now_and_then_late_is_bridged_until_it_is_too_often(fault, mode):
    outcome = run(fault, mode, When(at=7, every=4), ticks=400)
    check(outcome, fault)
    assert outcome.summary.stopped_by == "guard"
    assert "late too often" in outcome.summary.detail


def test_every_fault_that_the_table_bridges_is_injected():
    assert set(ROW_OF) <= {fault.seen_as for fault in FAULTS.values()}


def test_a_fault_that_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'stale'"):
        FaultyRobot(FakeRobot(), "stal")
    with pytest.raises(ConfigError, match="did you mean 'action-nan'"):
        FaultySession(FakeSession(fake_contract(TWO_JOINTS)), "action-man")


def test_without_a_fault_a_faulty_robot_is_the_one_inside():
    clock = FakeClock(10**9)
    plain, faulty = FakeRobot(clock=clock), FaultyRobot(FakeRobot(clock=clock), CALL, When(at=10**9), clock=clock)
    for robot in (plain, faulty):
        robot.connect()
        robot.arm()
        robot.reset()
    assert (faulty.read().observation == plain.read().observation).all()
    assert faulty.injected_ns is None
    assert CALL not in FAULTS  # it is no fault
