"""The loop on a fake clock: what it does slot by slot, and what reaches the robot when things go wrong.

The robot's monitor is the judge: it stands in the robot and knows nothing of the guard.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmh_edge.clock import FakeClock
from dmh_edge.errors import BackendError, ContractError, ParityError, RobotError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.loop import Loop
from dmh_edge.runtime.loop.overseers import Overseers
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.records.trace_recorder import TraceRecorder
from dmh_edge.runtime.report.events import EventLog
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.fake_session import FakeSession, fake_contract
from dmh_edge.runtime.sessions.replay import replay
from dmh_edge.runtime.sessions.session import Arrays
from dmh_edge.runtime.watchdog.supervision import Supervision
from dmh_edge.task import DiscreteAction, Element, TaskSpec

MS = 1_000_000
PERIOD = 20 * MS
SHORT = TWO_JOINTS.model_copy(update={"horizon": 8})
FREE = SHORT.model_copy(  # without slew limits, so that what is wished is applied
    update={
        "action": TWO_JOINTS.action.model_copy(
            update={"elements": tuple(Element(name=name, low=-1, high=1, unit="rad/s") for name in ("a", "b"))}
        )
    }
)
DELAYED = FREE.model_copy(update={"action_delay": 1})
Change = Callable[[Reading], Reading]
#: How every life of a robot ends: a fake robot's ``close`` stops it once more.
END = ["stop", "close", "stop"]


class Script(FakeRobot):
    """A fake robot that remembers what it was asked, and whose readings can be tampered with.

    Args:
        readings: number of the reading, from 0, to what is done to it.
        raises: call to what it raises, from its n-th time on.
        takes_ms: how long a reading takes.
    """

    def __init__(
        self,
        task: TaskSpec,
        clock: FakeClock,
        readings: Mapping[int, Change] | None = None,
        raises: tuple[str, int, BaseException] | None = None,
        takes_ms: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(task, clock=clock, command_timeout_s=0.2)
        self.calls: list[str] = []
        self.actions: list[Action] = []
        self.shown: list[Reading] = []
        self._fake_clock = clock
        self._readings, self._raises, self._takes_ms = readings or {}, raises, takes_ms or {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self._raises and self._raises[0] == name and self.calls.count(name) > self._raises[1]:
            raise self._raises[2]

    def connect(self) -> None:
        self._called("connect")
        super().connect()

    def arm(self) -> None:
        self._called("arm")
        super().arm()

    def reset(self) -> None:
        self._called("reset")
        super().reset()

    def read(self) -> Reading:
        self._called("read")
        number = len(self.shown)
        reading = super().read()
        self._fake_clock.advance_ns(round(self._takes_ms.get(number, 0) * MS))
        self.shown.append(self._readings.get(number, lambda same: same)(reading))
        return self.shown[-1]

    def write(self, action: Action) -> Action:
        self._called("write")
        self.actions.append(action.copy())
        return super().write(action)

    def damp(self) -> None:
        self._called("damp")
        super().damp()

    def stop(self) -> None:
        self._called("stop")
        super().stop()

    def close(self) -> None:
        self.calls.append("close")
        super().close()

    @property
    def rules(self) -> list[str]:
        return [violation.rule for violation in self.monitor.violations]


class Faulty(FakeSession):
    """A fake session whose n-th step goes wrong; it remembers what it was told and what was adopted."""

    def __init__(self, task: TaskSpec, spoil: Mapping[int, str] | None = None) -> None:
        super().__init__(fake_contract(task))
        self.told: list[dict[str, np.ndarray]] = []
        self.committed: list[int] = []
        self._spoil = spoil or {}

    def step(self, world: Arrays) -> Arrays:
        number = len(self.told)
        self.told.append({name: array.copy() for name, array in world.items()})
        outputs = super().step(world)
        what = self._spoil.get(number)
        if what == "action":
            self._outputs["action"] = np.full_like(outputs["action"], np.nan)
        elif what == "state":
            self._proposal["heard"] = self._proposal["heard"] * np.float32(np.inf)
        elif what == "bounds":
            self._outputs["action"] = outputs["action"] + np.float32(50)
        elif what == "choice":
            self._outputs["action"] = np.array([99])
        elif what == "raise":
            raise BackendError("the engine failed")
        return self._outputs

    def commit(self) -> None:
        self.committed.append(len(self.told) - 1)
        super().commit()


@pytest.fixture(autouse=True, scope="module")
def _small_heap():
    """Every run collects garbage once; what the test runner keeps alive need not be walked each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def loop_of(
    session: Faulty,
    robot: Script,
    limits: Limits,
    recorder: TraceRecorder | None = None,
    signals: StopSignals | None = None,
) -> Loop:
    clock, log = robot._fake_clock, EventLog(robot._fake_clock)
    pace = Timing(clock=clock).pace(robot, session.contract.task.rate_hz)
    guard = Guard(session.contract.task, pace.period_ns, robot.lockstep, damps=True, note=log.add)
    supervision = Supervision(pace.period_ns, clock, reset_timeout_s=60)
    overseers = Overseers(signals or StopSignals(), Operator(clock), supervision, Notifier({}))
    return Loop(Agent(session, seed=1), robot, guard, pace, limits, overseers, recorder, log)


class Run:
    """One run on a fake clock, and everything that is to be known about it."""

    def __init__(
        self,
        task: TaskSpec = FREE,
        *,
        limits: Limits | None = None,
        spoil: Mapping[int, str] | None = None,
        self_test: Callable[[], None] = lambda: None,
        recall: Callable[[], float] = lambda: 0.0,
        error: type[BaseException] | None = None,
        match: str | None = None,
        capacity: int = 500,
        robot_task: TaskSpec | None = None,
        **script: Any,
    ) -> None:
        self.robot = Script(robot_task or task, FakeClock(10**9), **script)
        self.session = Faulty(task, spoil)
        self.recorder = TraceRecorder(self.session.contract, capacity)
        self.loop = loop_of(self.session, self.robot, limits or Limits(ticks=20), self.recorder)
        if error is None:
            self.loop.run(self_test, recall)
        else:
            with pytest.raises(error, match=match):
                self.loop.run(self_test, recall)

    @property
    def summary(self):
        return self.loop.summary()

    @property
    def rewards_told(self) -> list[float]:
        return [float(world["reward"][0]) for world in self.session.told]

    def stands_still(self) -> bool:
        return self.robot.calls[-3:] == END and not self.robot._velocity.any()


def nan_observation(reading: Reading) -> Reading:
    return replace(reading, observation=reading.observation * np.float32(np.nan))


def nan_reward(reading: Reading) -> Reading:
    return replace(reading, reward=float("nan"))


def no_reward(reading: Reading) -> Reading:
    return replace(reading, reward_valid=False)


def stale(reading: Reading) -> Reading:
    return replace(reading, stamp_ns=reading.stamp_ns - 150 * MS)


def over(reading: Reading) -> Reading:
    return replace(reading, terminated=True)


# ---------------------------------------------------------------------------------------------- a run without faults


def test_a_robot_goes_through_its_life_in_order():
    run = Run(limits=Limits(ticks=2))
    assert run.robot.calls == ["connect", "arm", "reset", "read", "write", "read", "write", *END]
    assert run.robot.rules == []
    assert (run.summary.stopped_by, run.summary.ticks) == ("ticks", 2)


def test_the_self_test_comes_before_the_robot_is_reached():
    robot = Script(FREE, FakeClock(10**9))
    called_before: list[list[str]] = []
    loop = loop_of(Faulty(FREE), robot, Limits(ticks=1))
    loop.run(lambda: called_before.append(list(robot.calls)), lambda: 0.0)
    assert called_before == [[]]


def test_what_the_self_test_left_behind_is_forgotten():
    session, robot = Faulty(FREE), Script(FREE, FakeClock(10**9))
    recorder = TraceRecorder(session.contract, 10)
    loop = loop_of(session, robot, Limits(ticks=1), recorder)

    def self_test() -> None:
        agent = Agent(session, seed=5)
        agent.propose(np.ones((1, 2), np.float32), np.ones(1, np.float32), np.array([True]))
        agent.commit(np.ones(2, np.float32))
        assert session.state()["heard"].any()

    loop.run(self_test, lambda: 0.0)
    assert not any(array.any() for array in recorder.trace(session).initial_state.values())


def test_a_self_test_that_fails_moves_nothing():
    def self_test() -> None:
        raise ParityError("tick 3, tensor action")

    run = Run(self_test=self_test, error=ParityError, match="tick 3")
    assert not {"connect", "arm", "reset", "write"} & set(run.robot.calls)
    assert "stop" in run.robot.calls
    assert not run.loop.began


def test_a_robot_that_is_another_one_is_never_reached():
    other = FREE.model_copy(update={"rate_hz": 40.0})
    run = Run(robot_task=other, error=ContractError, match="rate: the robot's is 40 Hz, the policy's 50 Hz")
    assert not {"connect", "arm", "reset", "write"} & set(run.robot.calls)


def test_the_first_tick_starts_an_episode_with_no_reward_and_no_previous_action():
    first, second = Run(limits=Limits(ticks=2)).session.told
    assert (first["episode_start"].tolist(), first["reward"].tolist()) == ([True], [0.0])
    assert not first["previous_action"].any()
    assert second["episode_start"].tolist() == [False]
    assert second["reward"][0] > 0


def test_the_policy_is_told_the_action_as_it_was_applied():
    run = Run(TWO_JOINTS, limits=Limits(ticks=30))  # its slew limit changes most of what is wished
    for world, applied in zip(run.session.told[1:], run.robot.actions, strict=False):
        assert np.array_equal(world["previous_action"][0], applied)
    assert run.summary.faults["proposed action over its slew limit"] > 10
    assert run.robot.rules == []


def test_an_episode_ends_at_the_horizon_and_its_last_reward_opens_the_next():
    run = Run(limits=Limits(ticks=20))
    assert [index for index, world in enumerate(run.session.told) if world["episode_start"][0]] == [0, 8, 16]
    last = run.robot.shown[8]  # the reading after the eighth action, on which no step is taken
    assert run.rewards_told[8] == np.float32(last.reward) > 0
    assert np.array_equal(run.session.told[8]["observation"][0], run.robot.shown[9].observation)
    assert run.robot.calls.count("reset") == 3
    assert len(run.summary.returns) == 2


def test_an_episode_ends_when_the_robot_says_so():
    run = Run(readings={3: over}, limits=Limits(ticks=5))
    assert [index for index, world in enumerate(run.session.told) if world["episode_start"][0]] == [0, 3]
    assert run.summary.returns == pytest.approx([sum(reading.reward for reading in run.robot.shown[:4])])


def test_an_episode_that_is_over_before_it_began_is_the_robots_fault():
    run = Run(readings={0: over}, error=RobotError, match="right after its reset")
    assert run.stands_still()


def test_the_grid_begins_anew_after_a_reset():
    class Slow(Script):
        def reset(self) -> None:
            super().reset()
            self._fake_clock.advance_ns(333 * MS)
            self.monitor.reset()

    clock = FakeClock(10**9)
    robot = Slow(FREE, clock)
    session = Faulty(FREE)
    loop = loop_of(session, robot, Limits(episodes=2))
    loop.run(lambda: None, lambda: 0.0)
    assert (loop.tally.overruns, loop.tally.skipped_slots, loop.tally.slots) == (0, 0, 18)


@pytest.mark.parametrize(
    ("limits", "stopped_by", "ticks", "episodes"),
    [
        (Limits(ticks=11), "ticks", 11, 1),
        (Limits(episodes=3), "episodes", 24, 3),
        (Limits(duration_s=0.1), "duration", 5, 0),
        (Limits(ticks=100, episodes=1), "episodes", 8, 1),
    ],
)
@pytest.mark.parametrize("task", [FREE, DELAYED], ids=["at once", "delayed"])
def test_a_run_ends_at_its_limit(task, limits, stopped_by, ticks, episodes):
    run = Run(task, limits=limits)
    summary = run.summary
    assert (summary.stopped_by, len(summary.returns)) == (stopped_by, episodes)
    assert summary.ticks == ticks - (task is DELAYED and stopped_by == "duration")
    assert run.robot.calls.count("reset") == max(1, episodes + (ticks % 8 > 0))
    assert run.stands_still()


def test_what_was_learned_before_is_gone_on_with_and_the_reward_that_was_due_is_told():
    before = Run(limits=Limits(episodes=1))
    assert before.loop.reward_due == pytest.approx(before.robot.shown[-1].reward)
    session = Faulty(FREE)
    robot = Script(FREE, FakeClock(10**9))

    def recall() -> float:
        session.restore(before.session.state())
        return before.loop.reward_due

    recorder = TraceRecorder(session.contract, 100)
    loop = loop_of(session, robot, Limits(ticks=1), recorder)
    loop.run(lambda: None, recall)
    assert session.told[0]["reward"][0] == np.float32(before.loop.reward_due)
    assert session.told[0]["episode_start"][0]
    assert np.array_equal(recorder.trace(session).initial_state["heard"], before.session.state()["heard"])


@pytest.mark.parametrize("task", [TWO_JOINTS, SHORT, FREE, DELAYED])
def test_a_replay_of_the_trace_computes_the_same_again(task):
    run = Run(task, limits=Limits(ticks=45))
    trace = run.recorder.trace(run.session)
    assert trace.ticks == 45
    comparison = replay(trace, FakeSession(run.session.contract))
    assert comparison.require().worst_error == 0
    trace.world["reward"][20] += 0.01
    assert replay(trace, FakeSession(run.session.contract)).first_failure.startswith("tick 20")


# ------------------------------------------------------------------------------------------------------ action delay


def test_under_a_delay_an_action_is_written_in_the_slot_after_the_one_that_computed_it():
    run = Run(DELAYED, limits=Limits(ticks=20))
    wished = run.recorder.trace(run.session).outputs["action"][:, 0]
    assert np.array_equal(run.robot.actions[0], [0, 0])  # nothing is due yet
    assert np.allclose(run.robot.actions[1:8], wished[0:7])
    assert np.array_equal(run.robot.actions[8], [0, 0])  # after the reset
    assert np.allclose(run.robot.actions[9:16], wished[8:15])
    for world, applied in zip(run.session.told[1:8], run.robot.actions[1:8], strict=True):
        assert np.array_equal(world["previous_action"][0], applied)


def test_under_a_delay_the_step_whose_action_comes_too_late_is_one_all_the_same():
    run = Run(DELAYED, limits=Limits(episodes=2))
    assert run.session.committed == list(range(16))
    assert run.summary.ticks == 16
    assert run.recorder.trace(run.session).ticks == 16


def test_under_a_delay_the_last_step_that_was_asked_for_moves_the_robot_no_more():
    run = Run(DELAYED, limits=Limits(ticks=8))
    assert (run.summary.stopped_by, run.summary.ticks, run.robot.calls.count("reset")) == ("ticks", 8, 1)
    assert run.robot.calls[-4:] == ["read", *END]


def test_under_a_delay_a_fault_is_held_in_the_slot_that_lacks_an_action():
    run = Run(DELAYED, readings={3: nan_observation}, limits=Limits(ticks=6))
    assert run.summary.held_slots == 1
    assert len(run.session.told) == 7  # the fault took away the fourth proposal; the last one is never adopted
    assert np.allclose(run.robot.actions[4], 0.8 * run.robot.actions[3])  # written after the reading that lacked one
    assert run.robot.rules == []


# ------------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (nan_observation, "observation not finite"),
        (lambda reading: replace(reading, observation=reading.observation + 100), "observation out of physical bounds"),
        (lambda reading: replace(reading, observation=reading.observation[:1]), "observation of the wrong shape"),
        (stale, "observation too old"),
        (nan_reward, "reward not finite"),
        (no_reward, "reward missing"),
        (lambda reading: replace(reading, reward=7.0), "reward out of bounds"),
    ],
)
@pytest.mark.parametrize("task", [FREE, TWO_JOINTS, DELAYED], ids=["free", "slew", "delayed"])
def test_a_bad_reading_is_no_step_and_the_robot_is_never_told_anything_illegal(task, change, fault):
    run = Run(task, readings={4: change, 6: change}, limits=Limits(ticks=15))
    assert run.summary.faults[fault] == 2
    assert run.summary.held_slots == 2
    assert run.summary.ticks == 15
    assert run.robot.rules == []
    for world in run.session.told:
        assert all(np.isfinite(array).all() for array in world.values())


def test_the_rewards_of_held_slots_are_summed_into_the_next_step():
    run = Run(readings={3: nan_observation, 4: nan_observation}, limits=Limits(ticks=5))
    heard = [reading.reward for reading in run.robot.shown]
    assert run.rewards_told == pytest.approx([0.0, heard[1], heard[2], heard[3] + heard[4] + heard[5], heard[6]])


def test_a_reward_that_was_lost_is_not_invented():
    run = Run(readings={2: nan_reward, 3: no_reward}, limits=Limits(ticks=4))
    heard = [reading.reward for reading in run.robot.shown]
    assert run.rewards_told == pytest.approx([0.0, heard[1], heard[4], heard[5]])
    assert np.isfinite(run.summary.unfinished_return)


def test_a_bad_last_reward_still_ends_the_episode():
    run = Run(readings={8: nan_reward}, limits=Limits(episodes=1))
    assert run.summary.stopped_by == "episodes"
    assert np.isfinite(run.summary.returns[0])
    assert run.summary.faults == {"reward not finite": 1}


@pytest.mark.parametrize("spoilt", ["action", "state"])
@pytest.mark.parametrize("task", [FREE, DELAYED], ids=["at once", "delayed"])
def test_a_proposal_that_is_not_finite_is_never_adopted(task, spoilt):
    run = Run(task, spoil={2: spoilt, 3: spoilt, 5: spoilt}, limits=Limits(ticks=12))
    assert not {2, 3, 5} & set(run.session.committed)
    assert run.summary.faults == {f"proposed {spoilt} not finite": 3}
    assert run.summary.held_slots == 3
    assert all(np.isfinite(array).all() for array in run.session.state().values())
    assert run.robot.rules == []
    assert run.recorder.trace(run.session).ticks == 12


def test_the_reward_of_a_rejected_proposal_is_told_with_the_next():
    run = Run(spoil={2: "state"}, limits=Limits(ticks=4))
    heard = [reading.reward for reading in run.robot.shown]
    assert run.rewards_told == pytest.approx([0.0, heard[1], heard[2], heard[2] + heard[3], heard[4]])


def test_a_rejected_first_proposal_leaves_the_episodes_start_to_the_next():
    run = Run(spoil={0: "action"}, limits=Limits(ticks=2))
    assert [bool(world["episode_start"][0]) for world in run.session.told] == [True, True, False]
    boundary = run.recorder.trace(run.session).timing["boundary"]
    assert boundary.tolist() == [True, False]


@pytest.mark.parametrize("spoilt", ["action", "state"])
def test_the_third_bad_proposal_in_a_row_is_a_safe_stop(spoilt):
    run = Run(spoil=dict.fromkeys(range(4, 99), spoilt), limits=Limits(ticks=20))
    assert (run.summary.stopped_by, run.summary.ticks, len(run.session.told)) == ("guard", 4, 7)
    assert "in a row" in run.summary.detail
    assert run.stands_still()
    assert run.robot.rules == []


def test_a_fault_that_lasts_is_a_safe_stop_after_the_longest_hold():
    run = Run(TWO_JOINTS, readings=dict.fromkeys(range(10, 99), nan_observation), limits=Limits(ticks=20))
    assert (run.summary.stopped_by, run.summary.ticks) == ("guard", 10)
    assert "observation not finite" in run.summary.detail
    assert run.robot.calls.count("write") == 15  # five slots of 20 ms are within 100 ms
    assert run.stands_still()
    assert run.robot.rules == []


def test_an_action_out_of_bounds_is_clamped_and_the_policy_is_told():
    run = Run(spoil={3: "bounds"}, limits=Limits(ticks=5))
    assert run.robot.actions[3].tolist() == [1, 1]
    assert run.session.told[4]["previous_action"][0].tolist() == [1, 1]
    trace = run.recorder.trace(run.session)
    assert (trace.outputs["action"][3, 0] > 40).all()
    assert trace.timing["applied_action"][3, 0].tolist() == [1, 1]
    assert run.robot.rules == []


@pytest.mark.parametrize("mode", ["position", "delta", "velocity", "effort"])
def test_every_mode_holds_in_its_own_way_and_the_monitor_finds_nothing(mode):
    action = TWO_JOINTS.action.model_copy(
        update={"mode": mode.replace("delta", "position"), "reference": "delta" if mode == "delta" else "absolute"}
    )
    task = TWO_JOINTS.model_copy(update={"action": action})
    bad = dict.fromkeys((0, 5, 6, 7, 20, 21, 22, 23), nan_observation)
    run = Run(task, readings=bad, spoil={9: "state", 15: "action"}, limits=Limits(ticks=40))
    assert run.summary.held_slots == 10
    assert run.robot.rules == []
    assert run.robot.calls.count("damp") == (10 if mode == "effort" else 0)
    last, held = run.robot.actions[4], run.robot.actions[5]
    if mode == "effort":
        return
    if mode == "position":
        assert np.array_equal(held, last)
    elif mode == "velocity":
        assert np.allclose(held, 0.8 * last, atol=1e-6)
    else:
        assert np.all(np.abs(held) <= np.maximum(0, np.abs(last) - 0.2) + 1e-6)  # towards the safe zero, at slew speed


def test_choices_are_held_by_the_safe_one():
    task = FREE.model_copy(update={"action": DiscreteAction(names=("a", "b", "c", "d"), safe=3)})
    run = Run(task, readings={2: nan_observation}, spoil={5: "choice"}, limits=Limits(ticks=8))
    assert run.robot.actions[2] == 3
    assert run.summary.faults == {"observation not finite": 1, "proposed action out of bounds": 1}
    assert 5 not in run.session.committed
    assert run.robot.rules == []


def test_a_late_robot_costs_slots_that_are_counted_and_never_caught_up():
    run = Run(takes_ms={3: 50.0}, limits=Limits(ticks=10))
    assert (run.summary.overruns, run.summary.skipped_slots, run.summary.held_slots) == (1, 2, 1)
    slots = run.recorder.trace(run.session).timing["slot"].tolist()
    assert slots[:6] == [0, 1, 2, 6, 7, 8]
    ended_ms = np.diff(run.recorder.trace(run.session).timing["ended_ns"]) / 1e6
    assert ended_ms == pytest.approx([20, 20, 80, 20, 20, 20, 20, 20, 20])
    assert run.summary.faults == {"late": 1}
    assert run.robot.rules == []


def test_a_reading_that_was_old_when_it_arrived_is_not_acted_on():
    run = Run(FREE.model_copy(update={"max_observation_age_s": 0.05}), takes_ms={3: 60.0}, limits=Limits(ticks=6))
    assert run.summary.faults == {"observation too old": 1, "late": 1}


@pytest.mark.parametrize(
    ("call", "count"), [("connect", 0), ("arm", 0), ("reset", 0), ("reset", 1), ("read", 0), ("read", 3), ("write", 3)]
)
def test_whatever_call_raises_the_robot_is_stopped_and_the_call_named(call, count):
    raised = OSError("no answer on can0")
    run = Run(raises=(call, count, raised), error=RobotError, match=f"failed in {call}: OSError: no answer on can0")
    assert run.stands_still()
    assert run.summary.stopped_by == "error"
    assert "can0" in run.summary.detail
    assert run.robot.rules == []


def test_a_robot_whose_reward_is_an_array_is_stopped():
    def listed(reading: Reading) -> Reading:
        return replace(reading, reward=np.array([reading.reward]))

    run = Run(readings={3: listed}, error=RobotError, match=r"got the reward array.*expected one number")
    assert run.stands_still()


def test_a_robot_that_shows_something_else_than_a_reading_is_stopped():
    def nothing(reading: Reading) -> None:
        return None

    run = Run(readings={3: nothing}, error=RobotError, match="failed in read: got None, expected a Reading")
    assert run.stands_still()


def test_the_cause_of_a_robots_failure_is_kept():
    raised = OSError("no answer")
    clock = FakeClock(10**9)
    robot = Script(FREE, clock, raises=("read", 2, raised))
    loop = loop_of(Faulty(FREE), robot, Limits())
    with pytest.raises(RobotError) as caught:
        loop.run(lambda: None, lambda: 0.0)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_nothing_that_can_be_raised_skips_the_stop(raised):
    error = RobotError if isinstance(raised, MemoryError) else type(raised)
    run = Run(raises=("write", 3, raised), error=error)
    assert run.stands_still()
    assert run.robot.rules == []


def test_an_engine_that_fails_stops_the_robot():
    run = Run(spoil={3: "raise"}, error=BackendError, match="the engine failed")
    assert run.stands_still()
    assert (run.summary.stopped_by, run.summary.ticks) == ("error", 3)


def test_a_stop_that_fails_is_tried_again_and_said_aloud():
    run = Run(
        raises=("stop", 0, OSError("gone")), limits=Limits(ticks=3), error=RobotError, match="stands still .*gone"
    )
    assert run.robot.calls.count("stop") == 2
    assert run.summary.stopped_by == "error"


def test_a_stop_that_fails_after_another_failure_tells_both():
    class Both(Script):
        def read(self) -> Reading:
            raise OSError("first")

    clock = FakeClock(10**9)
    robot = Both(FREE, clock, raises=("stop", 0, OSError("second")))
    loop = loop_of(Faulty(FREE), robot, Limits())
    with pytest.raises(RobotError, match=r"second.*before that: the robot failed in read: OSError: first"):
        loop.run(lambda: None, lambda: 0.0)


@pytest.mark.parametrize("applied", [np.array([np.nan, 0]), np.zeros(3), np.array(0.0), np.array([1e12, 0])])
def test_a_robot_that_says_nonsense_about_what_it_applied_is_stopped(applied):
    class Liar(Script):
        def write(self, action: Action) -> Action:
            super().write(action)
            return applied

    clock = FakeClock(10**9)
    robot = Liar(FREE, clock)
    session = Faulty(FREE)
    loop = loop_of(session, robot, Limits())
    with pytest.raises(RobotError, match="as the applied action"):
        loop.run(lambda: None, lambda: 0.0)
    assert session.committed == []
    assert robot.calls[-3:] == ["stop", "close", "stop"]


def test_a_signal_ends_a_reset_between_episodes_at_once():
    class Interrupted(Script):
        finished = 0

        def reset(self) -> None:
            super().reset()
            if self.calls.count("reset") == 2:
                signal.raise_signal(signal.SIGTERM)
            self.finished += 1

    session, robot = Faulty(FREE), Interrupted(FREE, FakeClock(10**9))
    with StopSignals() as signals:
        loop = loop_of(session, robot, Limits(), signals=signals)
        loop.run(lambda: None, lambda: 0.0)
    assert (loop.tally.stopped_by, loop.tally.detail, robot.finished) == ("operator", "SIGTERM", 1)
    assert robot.calls[-3:] == END


def test_a_signal_in_the_middle_of_a_slot_lets_the_slot_end():
    class Interrupted(Script):
        def read(self) -> Reading:
            if self.calls.count("read") == 3:
                signal.raise_signal(signal.SIGINT)
            return super().read()

    session, robot = Faulty(FREE), Interrupted(FREE, FakeClock(10**9))
    with StopSignals() as signals:
        loop = loop_of(session, robot, Limits(), signals=signals)
        loop.run(lambda: None, lambda: 0.0)
    assert (loop.tally.stopped_by, loop.tally.ticks, robot.calls.count("write")) == ("operator", 4, 4)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 60), st.sampled_from([nan_observation, nan_reward, no_reward, stale]), max_size=25),
    st.dictionaries(st.integers(0, 60), st.sampled_from(["action", "state", "bounds"]), max_size=15),
    st.dictionaries(st.integers(0, 60), st.floats(0, 90), max_size=6),
    st.sampled_from([TWO_JOINTS, SHORT, FREE, DELAYED]),
)
def test_no_mix_of_faults_lets_anything_illegal_through(readings, spoil, takes_ms, task):
    run = Run(task, readings=readings, spoil=spoil, takes_ms=takes_ms, limits=Limits(ticks=50))
    assert run.robot.rules == []
    assert run.stands_still()
    trace = run.recorder.trace(run.session)
    assert trace.ticks == run.summary.ticks
    if trace.ticks:
        assert all(np.isfinite(column).all() for column in trace.world.values())
    told = sum(run.rewards_told[index] for index in run.session.committed) + run.loop.reward_due
    earned = sum(run.summary.returns) + run.summary.unfinished_return
    assert told == pytest.approx(earned, abs=1e-3)


# ------------------------------------------------------------------------------------------------------ housekeeping


def test_garbage_is_not_collected_while_slots_are_taken_and_is_again_afterwards():
    seen = []

    class Looks(Script):
        def write(self, action: Action) -> Action:
            seen.append((gc.isenabled(), gc.get_freeze_count() > 0))
            return super().write(action)

    clock = FakeClock(10**9)
    gc.unfreeze()
    loop = loop_of(Faulty(FREE), Looks(FREE, clock), Limits(ticks=3))
    loop.run(lambda: None, lambda: 0.0)
    assert seen == [(False, True)] * 3
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_boundary_ticks_are_told_apart():
    run = Run(limits=Limits(ticks=16))
    assert (run.summary.boundary.count, run.summary.actor.count, run.summary.no_step.count) == (4, 12, 1)
    boundary = run.recorder.trace(run.session).timing["boundary"]
    assert np.flatnonzero(boundary).tolist() == [0, 5, 8, 13]
