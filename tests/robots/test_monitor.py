from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.clock import FakeClock
from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.robots.monitor import Monitor
from dmh_edge.task import DiscreteAction

MS = 1_000_000


@pytest.fixture
def clock():
    return FakeClock(10**9)


@pytest.fixture
def monitor(clock):
    """Of an armed robot at the start of an episode; the slew limit allows 0.2 per period of 20 ms."""
    monitor = Monitor(TWO_JOINTS, clock, command_timeout_s=0.1)
    monitor.armed()
    monitor.resetting()
    monitor.reset()
    return monitor


def velocity(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def rules(monitor: Monitor) -> list[str]:
    return [violation.rule for violation in monitor.violations]


def test_legal_actions_are_nothing_to_note(monitor, clock):
    for value in (0.2, 0.4, 0.2, 0.0):
        monitor.wrote(velocity(value, -value))
        clock.advance_ns(20 * MS)
    monitor.stopped()
    assert rules(monitor) == []


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        (velocity(np.nan, 0), "not finite"),
        (velocity(0, np.inf), "not finite"),
        (velocity(0), "shape"),
        (velocity(0, 0, 0), "shape"),
        (velocity(0, 0.3), "too fast"),
    ],
)
def test_what_must_not_reach_a_robot_is_noted(monitor, action, rule):
    monitor.wrote(action)
    assert rules(monitor) == [rule]


def test_an_action_out_of_bounds_is_noted_however_slowly_it_got_there(monitor, clock):
    for value in np.arange(0, 1.15, 0.1):
        monitor.wrote(velocity(value, 0))
        clock.advance_ns(20 * MS)
    assert rules(monitor) == ["out of bounds"]


def test_the_slew_is_judged_by_the_time_that_passed(monitor, clock):
    monitor.wrote(velocity(0, 0))
    clock.advance_ns(10 * MS)
    monitor.wrote(velocity(0.2, 0))
    assert rules(monitor) == ["too fast"]


def test_the_slew_is_judged_from_where_the_robot_stands(monitor, clock):
    monitor.reset(velocity(0.8, 0))
    monitor.wrote(velocity(0.9, 0))
    monitor.reset(velocity(0.8, 0))
    monitor.wrote(velocity(0.1, 0))
    assert rules(monitor) == ["too fast"]


def test_damping_ends_silence_and_the_next_action_is_judged_from_the_safe_one(monitor, clock):
    monitor.wrote(velocity(0.2, 0))
    for _ in range(3):
        clock.advance_ns(90 * MS)
        monitor.damped()
    clock.advance_ns(20 * MS)
    monitor.wrote(velocity(0.2, 0))
    clock.advance_ns(20 * MS)
    monitor.damped()
    clock.advance_ns(20 * MS)
    monitor.wrote(velocity(0.25, 0))
    assert rules(monitor) == ["too fast"]


def test_an_episode_that_begins_with_damping_allows_no_leap_right_after_it(monitor, clock):
    monitor.damped()
    clock.advance_ns(10 * MS)
    monitor.wrote(velocity(0.2, 0))
    assert rules(monitor) == ["too fast"]


def test_damping_before_arm_is_noted(clock):
    monitor = Monitor(TWO_JOINTS, clock, 0.1)
    monitor.damped()
    assert rules(monitor) == ["before arm"]


def test_writing_before_arm_is_noted(clock):
    monitor = Monitor(TWO_JOINTS, clock, 0.1)
    monitor.wrote(velocity(0, 0))
    assert rules(monitor) == ["before arm"]


@pytest.mark.parametrize("call", ["wrote", "resetting"])
def test_moving_after_stop_is_noted(monitor, call):
    monitor.stopped()
    if call == "wrote":
        monitor.wrote(velocity(0, 0))
    else:
        monitor.resetting()
    assert rules(monitor) == ["after stop"]


def test_arming_again_allows_to_move_again(monitor):
    monitor.stopped()
    monitor.armed()
    monitor.wrote(velocity(0, 0))
    assert rules(monitor) == []


@pytest.mark.parametrize("end", ["wrote", "check_silence", "stopped", "resetting"])
def test_silence_is_noted_once_whatever_ends_it(monitor, clock, end):
    monitor.wrote(velocity(0, 0))
    clock.advance_ns(101 * MS)
    monitor.check_silence()
    if end == "wrote":
        monitor.wrote(velocity(0, 0))
    elif end != "check_silence":
        getattr(monitor, end)()
    assert rules(monitor) == ["silence"]


@pytest.mark.parametrize("end", ["wrote", "stopped", "resetting"])
def test_silence_is_noted_by_what_comes_after_it(monitor, clock, end):
    clock.advance_ns(101 * MS)
    getattr(monitor, end)(*([velocity(0, 0)] if end == "wrote" else []))
    assert rules(monitor) == ["silence"]


def test_a_reset_and_a_stop_may_take_their_time(monitor, clock):
    monitor.resetting()
    clock.advance_ns(500 * MS)
    monitor.reset()
    monitor.stopped()
    clock.advance_ns(500 * MS)
    monitor.check_silence()
    assert rules(monitor) == []


@pytest.mark.parametrize(
    ("choice", "noted"),
    [
        (np.array(2), []),
        (np.array(3), ["out of bounds"]),
        (np.array(-1), ["out of bounds"]),
        (np.array(np.nan), ["not finite"]),
        (np.array([1]), ["shape"]),
    ],
)
def test_choices_are_judged_too(clock, choice, noted):
    task = TWO_JOINTS.model_copy(update={"action": DiscreteAction(names=("a", "b", "c"), safe=0)})
    monitor = Monitor(task, clock, 0.1)
    monitor.armed()
    monitor.wrote(choice)
    assert rules(monitor) == noted
