"""From disarmed to stopped: who arms, how a reset is watched, what an operator can say, and what is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmh_edge.clock import Clock, FakeClock, MonotonicClock
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.faults.injection import task_of
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.guard_settings import GUARD_NAME, GuardSettings, load_guard
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.state_file import Learned
from dmh_edge.task import TaskSpec
from dmh_edge.trace import Trace
from waiting import PATIENCE_S

SHORT = TWO_JOINTS.model_copy(update={"horizon": 8})


class Real(FakeRobot):
    """As if it could hurt somebody; it remembers what it was asked, and does more at each reading or reset."""

    simulated = False

    def __init__(
        self,
        task: TaskSpec = SHORT,
        clock: Clock | None = None,
        at_reading: Callable[[int], None] = lambda _: None,
        in_reset: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.used_clock = clock or FakeClock(10**9)
        super().__init__(task, clock=self.used_clock)
        self.calls: list[str] = []
        self.actions: list[Action] = []
        self._at_reading, self._in_reset = at_reading, in_reset

    def connect(self) -> None:
        self.calls.append("connect")
        super().connect()

    def arm(self) -> None:
        self.calls.append("arm")
        super().arm()

    def reset(self) -> None:
        self.calls.append("reset")
        self.monitor.resetting()
        self._in_reset(self.calls.count("reset"))
        super().reset()

    def read(self) -> Reading:
        self.calls.append("read")
        self._at_reading(self.calls.count("read"))
        return super().read()

    def write(self, action: Action) -> Action:
        self.actions.append(action)
        return super().write(action)

    def stop(self) -> None:
        self.calls.append("stop")
        super().stop()


def run(
    robot: Real,
    *,
    limits: Limits | None = None,
    self_test: Callable[[], object] = lambda: None,
    operator: Operator | None = None,
    armed: bool = True,
    learned: Learned | None = None,
    out: Path | None = None,
    **more: Any,
) -> Summary:
    options = Run(
        limits=limits or Limits(ticks=30),
        timing=Timing(clock=robot.used_clock),
        learned=learned or Learned(),
        keeping=Keeping(out),
        attendance=Attendance(operator, armed=armed),
        **more,
    )
    summary = operate(FakePolicy("p", self_test), FakeSession(fake_contract(robot.task)), robot, options)
    assert robot.monitor.violations == []
    assert robot.calls[-1] == "stop"
    return summary


def moments(summary: Summary) -> list[str]:
    return [event.what for event in summary.events if "over its slew" not in event.what]


# ------------------------------------------------------------------------------------------------------------- arming


def test_a_robot_that_is_not_simulated_is_never_armed_by_itself():
    robot = Real()
    with pytest.raises(
        ConfigError, match=r"no person can arm this robot: .* give --arm, or start the run at a terminal"
    ):
        run(robot, armed=False)
    assert robot.calls == []


def test_a_simulated_robot_needs_nobody():
    robot = Real()
    robot.simulated = True
    assert run(robot, armed=False).stopped_by == "ticks"


def test_a_life_is_told_in_order():
    summary = run(Real(), limits=Limits(ticks=2))
    assert moments(summary) == [
        "self-tested",
        "connected",
        "armed",
        "stop asked of the robot",
        "stop confirmed by the robot",
    ]
    times = [event.at_ns for event in summary.events]
    assert times == sorted(times)


def test_a_robot_that_is_not_simulated_is_ramped_in_from_where_it_stands():
    robot = Real(task_of("position", horizon=60), clock=FakeClock(10**9))
    run(robot, limits=Limits(ticks=50))
    begin = robot.actions[0]
    assert begin == pytest.approx([0, 0], abs=1e-6)  # the middle of both ranges; the task's safe action is 0.5
    ramped, free = Real(SHORT), Real(SHORT)
    run(ramped, guard=GuardSettings(ramp_s=1.0), limits=Limits(ticks=8))
    run(free, guard=GuardSettings(ramp_s=0.0), limits=Limits(ticks=8))
    assert np.abs(ramped.actions).max() < 0.3 < np.abs(free.actions).max()


def test_an_effort_robot_that_cannot_damp_itself_is_stopped_by_the_first_thing_that_others_bridge():
    class Stiff(Real):
        damp = None  # type: ignore[assignment]

    robot = Stiff(task_of("effort", horizon=60))
    robot._at_reading = lambda number: robot.used_clock.advance_ns(30_000_000) if number == 5 else None
    summary = run(robot)
    assert (summary.stopped_by, summary.detail) == ("guard", "late")
    assert len(robot.actions) == 4


def test_a_stop_that_somebody_wants_before_the_robot_is_armed_is_heard(tmp_path):
    operator = Operator(clock := FakeClock(10**9))
    robot = Real(clock=clock)
    summary = run(robot, operator=operator, self_test=lambda: operator.stop("the red button"), out=tmp_path / "run")
    assert (summary.stopped_by, summary.detail) == ("operator", "the red button")
    assert "arm" not in robot.calls
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------------------- reset


def test_a_reset_that_takes_too_long_is_a_stop_even_when_it_comes_to_its_end():
    robot = Real(in_reset=lambda number: robot.used_clock.advance_ns(2 * 10**9) if number == 2 else None)
    summary = run(robot, guard=GuardSettings(reset_timeout_s=1.0))
    assert (summary.stopped_by, summary.detail) == ("guard", "reset took too long: longest reset 1 s")
    assert summary.faults["reset took too long"] == 1
    assert robot.calls.count("read") == 9


def test_a_reset_that_blocks_is_interrupted():
    def stubborn(_: int) -> None:
        try:
            time.sleep(PATIENCE_S)
        except Exception:  # noqa: BLE001
            time.sleep(PATIENCE_S)

    began = time.monotonic()
    robot = Real(clock=MonotonicClock(), in_reset=stubborn)
    summary = run(robot, guard=GuardSettings(reset_timeout_s=0.1))
    assert summary.stopped_by == "guard"
    assert time.monotonic() - began < PATIENCE_S
    assert "read" not in robot.calls


def test_an_operator_who_goes_away_during_a_reset_is_missed_there():
    robot = Real(clock=MonotonicClock(), in_reset=lambda _: time.sleep(PATIENCE_S))
    summary = run(robot, guard=GuardSettings(deadman_s=0.1), operator=Operator(robot.used_clock))
    assert summary.detail == "operator absent: no confirmation for 0.1 s"
    assert "read" not in robot.calls


def test_a_stop_that_no_signal_announces_is_heard_during_a_reset_and_interrupts_it_once():
    operator = Operator(clock := MonotonicClock())
    put_down = []

    def reset(_: int) -> None:
        threading.Timer(0.1, operator.stop, ["the red button"]).start()
        try:
            time.sleep(PATIENCE_S)
        finally:
            time.sleep(0.2)  # what a robot does to end its motion gently
            put_down.append(True)

    began = time.monotonic()
    robot = Real(clock=clock, in_reset=reset)
    summary = run(robot, operator=operator)
    assert (summary.stopped_by, summary.detail) == ("operator", "the red button")
    assert time.monotonic() - began < PATIENCE_S
    assert put_down == [True]
    assert "read" not in robot.calls


# ----------------------------------------------------------------------------------------------------------- operator


def test_a_deadman_needs_somebody_who_confirms():
    robot = Real()
    with pytest.raises(ConfigError, match="a deadman needs a person who confirms"):
        run(robot, guard=GuardSettings(deadman_s=1.0))
    assert robot.calls == []


def test_an_operator_who_confirms_is_present_and_one_who_does_not_is_absent():
    operator = Operator(clock := FakeClock(10**9))
    robot = Real(clock=clock, at_reading=lambda number: operator.confirm() if number < 20 else None)
    summary = run(robot, guard=GuardSettings(deadman_s=0.1), operator=operator)
    assert summary.detail == "operator absent: no confirmation for 0.1 s"
    assert robot.calls.count("read") == 24  # the last confirmation, and five slots of 20 ms after it
    assert summary.faults["operator absent"] == 1


def test_a_stop_button_of_the_users_own_works_from_any_thread():
    operator = Operator(clock := FakeClock(10**9))

    def press(number: int) -> None:
        if number == 3:
            (thread := threading.Thread(target=operator.stop, args=("the red button",))).start()
            thread.join()

    robot = Real(clock=clock, at_reading=press)
    summary = run(robot, operator=operator)
    assert (summary.stopped_by, summary.detail, robot.calls.count("read")) == ("operator", "the red button", 3)
    assert "operator stop" in moments(summary)


def test_an_operator_ends_an_episode_as_if_its_time_were_over(tmp_path):
    operator = Operator(clock := FakeClock(10**9))
    robot = Real(clock=clock, at_reading=lambda number: operator.end_episode() if number == 4 else None)
    summary = run(robot, operator=operator, limits=Limits(ticks=6), out=tmp_path)
    world = Trace.load(tmp_path / "trace.npz").world
    assert np.flatnonzero(world["episode_start"]).tolist() == [0, 3]
    assert world["reward"][3, 0] > 0  # of the last action before
    assert (len(summary.returns), robot.calls.count("reset")) == (1, 2)
    assert moments(summary).count("operator ended the episode") == 1


def test_a_wish_from_during_a_reset_does_not_end_the_episode_that_follows_it():
    operator = Operator(clock := FakeClock(10**9))
    robot = Real(clock=clock, in_reset=lambda _: operator.end_episode())
    summary = run(robot, operator=operator, limits=Limits(episodes=2))
    assert summary.ticks == 2 * SHORT.horizon
    assert "operator ended the episode" not in moments(summary)


# ------------------------------------------------------------------------------------------------------------- memory


def learned(path: Path, state: Path, *, forget: bool = False) -> Trace:
    run(Real(), learned=Learned(state, forget), out=path, limits=Limits(episodes=1))
    return Trace.load(path / "trace.npz")


def test_what_was_learned_is_kept_until_somebody_says_to_forget_it(tmp_path):
    state = tmp_path / "learned.npz"
    first, second = learned(tmp_path / "a", state), learned(tmp_path / "b", state)
    fresh = learned(tmp_path / "c", state, forget=True)
    assert any(array.any() for array in second.initial_state.values())
    assert not any(array.any() for array in first.initial_state.values())
    assert not any(array.any() for array in fresh.initial_state.values())
    assert fresh.world["reward"][0] == 0
    after = learned(tmp_path / "d", state)
    assert np.array_equal(after.initial_state["heard"], fresh.final_state["heard"])


def test_a_run_that_does_not_begin_forgets_nothing(tmp_path):
    state = tmp_path / "learned.npz"
    learned(tmp_path / "a", state)
    before = state.read_bytes()

    def fail() -> None:
        raise RobotError("not today")

    with pytest.raises(RobotError):
        run(Real(), learned=Learned(state, forget=True), self_test=fail)
    assert state.read_bytes() == before


def test_forgetting_without_a_memory_is_refused():
    with pytest.raises(ConfigError, match="--forget without --state"):
        run(Real(), learned=Learned(forget=True))


def test_the_guards_settings_are_kept_beside_the_run_in_a_form_that_can_be_used_again(tmp_path):
    settings = GuardSettings(late_slots=7, frozen_s=None)
    run(Real(), guard=settings, out=tmp_path)
    assert load_guard(tmp_path / GUARD_NAME) == settings
