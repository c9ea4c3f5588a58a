from __future__ import annotations

from dmh_edge.clock import FakeClock
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.report.events import EventLog, Moment


def test_events_have_their_time_and_slot():
    clock = FakeClock(100)
    log = EventLog(clock)
    log.add(Moment.ARMED)
    clock.advance_ns(50)
    log.slot = 3
    log.add(Fault.LATE)
    told = [(event.what, event.at_ns, event.slot, event.times) for event in log.events()]
    assert told == [("armed", 100, -1, 1), ("late", 150, 3, 1)]


def test_a_fault_slot_after_slot_is_one_event_whatever_comes_between():
    clock = FakeClock(0)
    log = EventLog(clock)
    for slot in (4, 5, 6, 9):
        log.slot = slot
        clock.advance_ns(10)
        log.add(Fault.ACTION_TOO_FAST)
        log.add(Fault.ACTION_OUT_OF_BOUNDS)
    fast = [event for event in log.events() if event.what == Fault.ACTION_TOO_FAST.value]
    assert [(event.slot, event.at_ns, event.until_ns, event.times) for event in fast] == [
        (4, 10, 30, 3),
        (9, 40, 40, 1),
    ]
    assert len(log.events()) == 4


def test_when_the_room_is_used_up_faults_are_counted_and_turning_points_kept():
    log = EventLog(FakeClock(), capacity=70)
    for slot in range(0, 20, 2):
        log.slot = slot
        log.add(Fault.LATE)
    log.add(Moment.STOPPED)
    assert [event.what for event in log.events()] == ["late"] * 6 + ["stop confirmed by the robot"]
    assert log.dropped == 4


def test_turning_points_are_never_counted_together():
    log = EventLog(FakeClock())
    for _ in range(2):
        log.add(Moment.EPISODE_ENDED)
    assert len(log.events()) == 2
