"""A loop paced by its robot: a robot that measures by a clock of its own, and whose read blocks until it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from dmh_edge.clock import FakeClock, PacedBy
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import RobotPace, Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract

MS = 1_000_000
PERIOD = 20 * MS
TASK = TWO_JOINTS.model_copy(update={"horizon": 1_000})


class Blocking(FakeRobot):
    """Measures every ``period_ns`` of its own clock; ``read`` waits for the next measurement.

    Args:
        stamps: number of a reading, from 0, to what is added to its stamp.
        busy_ms: number of a write, from 0, to how long the loop is late after it.
    """

    def __init__(
        self,
        clock: FakeClock,
        period_ns: int = PERIOD,
        *,
        blocks: bool = True,
        stamps: Mapping[int, int] | None = None,
        busy_ms: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(TASK, clock=clock, command_timeout_s=1.0)
        self._fake, self._period_ns, self._blocks = clock, period_ns, blocks
        self._stamps, self._busy_ms = stamps or {}, busy_ms or {}
        self.reads = self.writes = 0

    def read(self) -> Reading:
        if self._blocks:
            now_ns = self._fake.now_ns()
            self._fake.sleep_until_ns((now_ns // self._period_ns + 1) * self._period_ns)
        reading = super().read()
        self._fake.advance_ns(MS)  # until the loop has it
        self.reads += 1
        return replace(reading, stamp_ns=reading.stamp_ns + self._stamps.get(self.reads - 1, 0))

    def write(self, action: Action) -> Action:
        applied = super().write(action)
        self._fake.advance_ns(round(self._busy_ms.get(self.writes, 2) * MS))
        self.writes += 1
        return applied


def run(robot: Blocking, pace: PacedBy, ticks: int = 200) -> Summary:
    options = Run(
        limits=Limits(ticks=ticks),
        timing=Timing(paced_by=pace, clock=robot._clock),
        guard=GuardSettings(budget_s=9, late_slots=ticks, late_window=ticks),
    )
    return operate(FakePolicy(), FakeSession(fake_contract(TASK)), robot, options)


@pytest.mark.parametrize("share", [0.999, 1.0, 1.001])
def test_no_slot_is_lost_to_a_robot_whose_clock_is_a_little_fast_or_slow(share):
    robot = Blocking(FakeClock(7), round(PERIOD * share))
    summary = run(robot, "robot")
    assert (summary.slots, summary.skipped_slots, summary.pace) == (200, 0, "robot")
    assert robot.reads == robot.writes == 200
    assert not robot.monitor.violations
    assert summary.actor.lateness.max_us == pytest.approx(1000)  # the robot's transport, and nothing else


def test_on_a_grid_of_its_own_the_loop_does_lose_slots_to_such_a_robot():
    """Otherwise the test above proves nothing."""
    assert run(Blocking(FakeClock(7), round(PERIOD * 0.999)), "clock").skipped_slots > 50


def test_readings_that_the_loop_was_too_late_for_are_skipped_slots():
    summary = run(Blocking(FakeClock(), busy_ms={10: 45, 100: 65}), "robot")
    assert (summary.overruns, summary.skipped_slots, summary.ticks) == (2, 5, 200)


def test_lateness_counts_from_the_stamp():
    summary = run(Blocking(FakeClock(), stamps={51: -4 * MS}), "robot")
    assert summary.actor.lateness.max_us == pytest.approx(5000)
    assert summary.skipped_slots == 0


@pytest.mark.parametrize("wrong_ns", [10**10, -(10**10)])
def test_a_stamp_out_of_time_begins_a_slot_when_it_arrives(wrong_ns):
    clock = FakeClock(10**12)
    pace = RobotPace(50, robot := Blocking(clock, stamps={3: wrong_ns}), clock)
    robot.connect()
    slots = [pace.wait() for _ in range(6)]
    assert [slot.index for slot in slots if slot] == [0, 1, 2, 3, 4, 5]
    assert slots[3].start_ns == slots[2].start_ns + PERIOD + MS
    assert slots[3].lateness_ns == 0


def test_a_stamp_that_stands_still_holds_the_robot_and_then_stops_it():
    clock = FakeClock(10**12)
    robot = Blocking(clock, stamps={number: -(number - 20) * PERIOD for number in range(20, 500)})
    summary = run(robot, "robot")
    assert summary.stopped_by == "guard"
    assert summary.faults["observation too old"] > 0
    assert summary.ticks < 30
    assert not robot.monitor.violations


def test_a_robot_whose_read_does_not_block_is_found_out_and_stopped():
    robot = Blocking(FakeClock(), blocks=False)
    with pytest.raises(RobotError, match=r"20 readings came in .* use --pace clock"):
        run(robot, "robot")
    assert robot.writes < 25
    assert [rule for rule in robot.monitor.violations if rule.rule != "silence"] == []


def test_a_pause_costs_no_slot():
    clock = FakeClock()
    pace = RobotPace(50, robot := Blocking(clock), clock)
    robot.connect()
    pace.wait()
    clock.advance_ns(50 * PERIOD)
    pace.restart()
    slot = pace.wait()
    assert (slot.index, slot.skipped) == (1, 0)


def test_an_operator_who_asks_while_the_robot_measures_gets_no_slot():
    clock = FakeClock()
    pace = RobotPace(50, robot := Blocking(clock), clock)
    robot.connect()
    answers = iter([False, True])
    assert pace.wait(lambda: next(answers)) is None
    assert pace.wait(lambda: True) is None
    assert robot.reads == 1


def test_a_read_that_fails_is_told_as_one():
    class Unplugged(Blocking):
        def read(self) -> Reading:
            if self.reads == 5:
                raise OSError("unplugged")
            return super().read()

    with pytest.raises(RobotError, match="failed in read: OSError: unplugged"):
        run(Unplugged(FakeClock()), "robot")


def test_a_robot_in_lockstep_has_no_pace():
    with pytest.raises(ConfigError, match="use --pace clock"):
        RobotPace(50, GymRobot("darkroom"), FakeClock())
