"""A dry run: nothing reaches the robot, and nobody can take it for a run."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from dmh_edge.clock import FakeClock
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.loop.dry_run import DryRun
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.state_file import Learned
from dmh_edge.schema import parse
from dmh_edge.task import DiscreteAction, Element
from dmh_edge.trace import Trace

TASK = TWO_JOINTS.model_copy(  # a safe action that is not zero
    update={"horizon": 8, "action": TWO_JOINTS.action.model_copy(update={"safe": (0.25, -0.5)})}
)


class Watched(FakeRobot):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(TASK, clock=clock, command_timeout_s=0.1)
        self.calls: list[str] = []

    def arm(self) -> None:
        self.calls.append("arm")
        super().arm()

    def reset(self) -> None:
        self.calls.append("reset")
        super().reset()

    def write(self, action: Action) -> Action:
        self.calls.append("write")
        return super().write(action)

    def stop(self) -> None:
        self.calls.append("stop")
        super().stop()


def run(robot, task=TASK, limits=None, out=None, state=None, **more) -> Summary:  # type: ignore[no-untyped-def]
    options = Run(
        limits=limits or Limits(ticks=100),
        timing=Timing(clock=robot._clock),
        learned=Learned(state),
        keeping=Keeping(out),
        noise_seed=0,
        **more,
    )
    return operate(FakePolicy("0"), FakeSession(fake_contract(task)), robot, options)


def test_a_robot_in_real_time_is_read_and_neither_armed_nor_reset_nor_written_to(tmp_path):
    robot = Watched(FakeClock(10**9))
    summary = run(robot, dry_run=True, out=tmp_path)
    assert (summary.ticks, len(summary.returns)) == (100, 12)
    assert set(robot.calls) == {"stop"}
    assert robot.monitor.violations == []  # no silence either: it waits for nothing


def test_the_same_run_without_the_word_does_all_of_it():
    robot = Watched(FakeClock(10**9))
    run(robot)
    assert {"arm", "reset", "write", "stop"} == set(robot.calls)


def test_the_policy_is_told_that_the_robot_took_its_safe_action(tmp_path):
    run(Watched(FakeClock(10**9)), dry_run=True, out=tmp_path)
    trace = Trace.load(tmp_path / "trace.npz")
    assert np.unique(trace.timing["applied_action"], axis=0).tolist() == [[[0.25, -0.5]]]
    assert np.unique(trace.world["previous_action"][1:], axis=0).tolist() == [[[0.25, -0.5]]]
    assert len(np.unique(trace.outputs["action"], axis=0)) == 100  # what it wished for is kept


def test_report_records_and_the_first_line_say_that_it_was_dry(tmp_path):
    said: list[str] = []
    summary = run(Watched(FakeClock(10**9)), dry_run=True, out=tmp_path, say=said.append)
    assert said[0] == "dry run: nothing is written to the robot"
    assert parse(Summary, (tmp_path / "summary.json").read_text(), "summary").dry_run
    shown = io.StringIO()
    Console(file=shown, width=200).print(summary.table())
    assert re.search(r"DRY RUN +│ nothing was written to the robot", shown.getvalue())
    wet = run(Watched(FakeClock(10**9)))
    assert not wet.dry_run
    wet_table = io.StringIO()
    Console(file=wet_table, width=200).print(wet.table())
    assert "DRY RUN" not in wet_table.getvalue()


def test_what_is_learned_of_a_robot_that_does_not_answer_is_not_kept(tmp_path):
    state = tmp_path / "learned.npz"
    run(Watched(FakeClock(10**9)), dry_run=True, state=state)
    assert not state.exists()
    run(Watched(FakeClock(10**9)), state=state)
    before = state.read_bytes()
    run(Watched(FakeClock(10**9)), dry_run=True, state=state, out=tmp_path / "dry")
    assert state.read_bytes() == before
    learned = Trace.load(tmp_path / "dry" / "trace.npz").initial_state
    assert any(array.any() for array in learned.values())  # it was read all the same


def test_a_robot_in_lockstep_is_reset_and_never_stepped():
    robot = GymRobot("darkroom", clock=FakeClock(10**9))
    steps: list[object] = []
    robot._environment.step = steps.append  # type: ignore[method-assign,assignment]
    summary = run(robot, robot.task, dry_run=True, limits=Limits(episodes=2))
    assert (summary.dry_run, len(summary.returns), steps) == (True, 2, [])


def test_a_choice_is_answered_by_the_safe_choice():
    task = TASK.model_copy(
        update={
            "action": DiscreteAction(names=("left", "stay"), safe=1),
            "observation": (Element(name="x", low=0, high=1),),
        }
    )
    dry = DryRun(FakeRobot(task, clock=FakeClock()))
    applied = dry.write(np.array(0))
    assert (applied.shape, applied.dtype, int(applied)) == ((), np.int64, 1)


@pytest.mark.parametrize("name", ["task", "lockstep", "simulated", "stop_path"])
def test_it_says_of_the_robot_what_the_robot_says(name):
    robot = Watched(FakeClock())
    assert getattr(DryRun(robot), name) == getattr(robot, name)


def test_a_robot_that_can_damp_bears_in_a_dry_run_what_it_bears_in_a_run():
    robot = Watched(FakeClock(10**9))
    robot.damp = lambda: robot.calls.append("damp")
    DryRun(robot).damp()
    assert robot.calls == []
    robot.damp = None
    assert DryRun(robot).damp is None
