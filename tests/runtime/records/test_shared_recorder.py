"""What the loop publishes in shared memory, read in the same process."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from dmh_edge.clock import NS_PER_S, FakeClock
from dmh_edge.errors import ArtifactError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Reading
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.loop import Loop
from dmh_edge.runtime.loop.overseers import Overseers
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.records.layout import COUNTS, EVENT, SLOT, TICK, slot_dtype, state_dtype
from dmh_edge.runtime.records.recorder import Recorders
from dmh_edge.runtime.records.shared_recorder import SharedRecorder
from dmh_edge.runtime.records.trace_recorder import TraceRecorder
from dmh_edge.runtime.report.events import EventLog
from dmh_edge.runtime.report.tally import FIGURES
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.fake_session import FakeSession, fake_contract
from dmh_edge.runtime.watchdog.supervision import Supervision
from dmh_edge.shared_memory import Cursor
from dmh_edge.task import TaskSpec

#: Asked for little, so that the fake policy's goals differ.
TASK = TWO_JOINTS.model_copy(update={"target_return": 0.0})
CONTRACT = fake_contract(TASK)


class Blinking(FakeRobot):
    """Shows something that is no number in some of its readings."""

    def __init__(self, task: TaskSpec, clock: FakeClock, blind: range) -> None:
        super().__init__(task, clock=clock)
        self._reads, self._blind = 0, blind

    def read(self) -> Reading:
        reading = super().read()
        self._reads += 1
        if self._reads in self._blind:
            reading.observation[:] = np.nan
        return reading


class Taken:
    """A run on a fake clock, and all that a reader got of it."""

    def __init__(self, limits: Limits, blind: range = range(0), contract: Any = CONTRACT) -> None:
        clock = FakeClock(NS_PER_S)
        self.session = FakeSession(contract)
        self.shared = SharedRecorder(contract, 50.0, clock)
        self.recorder = TraceRecorder(contract, 10_000)
        self.states: list[Any] = []
        slots: list[Any] = []
        cursors = Cursor(self.shared.slots), Cursor(self.shared.states)

        def take() -> None:
            slots.extend(np.frombuffer(cursors[0].take(), slot_dtype(contract)))
            self.states.extend(np.frombuffer(cursors[1].take(), state_dtype(contract)))

        class Watching(Blinking):
            def write(self, action: Any) -> Any:
                take()
                return super().write(action)

        robot, recorder = Watching(contract.task, clock, blind), Recorders(self.recorder, self.shared)
        log, pace = EventLog(clock, recorder.event), Timing(clock=clock).pace(robot, contract.task.rate_hz)
        settings = GuardSettings(longest_clamp_s=1e6)  # the fake policy wishes for what this robot cannot follow
        guard = Guard(contract.task, pace.period_ns, robot.lockstep, settings, damps=True, note=log.add)
        with StopSignals() as signals:
            supervision = Supervision(pace.period_ns, clock, reset_timeout_s=60)
            overseers = Overseers(signals, Operator(clock), supervision, Notifier({}))
            loop = Loop(Agent(self.session, 1), robot, guard, pace, limits, overseers, recorder, log)
            loop.run(lambda: None, lambda: 0.0)
        take()
        assert cursors[0].lost == cursors[1].lost == 0
        self.tally, self.summary = loop.tally, loop.summary()
        self.ticks = [record for record in slots if record["kind"] == TICK]
        self.slots = [record for record in slots if record["kind"] == SLOT]
        self.events = [
            (record["name"].decode(), record["detail"].decode()) for record in slots if record["kind"] == EVENT
        ]
        self.shared.close()


def test_every_tick_is_what_the_trace_says_it_is():
    taken = Taken(Limits(ticks=130), blind=range(60, 62))
    trace = taken.recorder.trace(taken.session)
    assert [record["tick"] for record in taken.ticks] == list(range(130))
    for prefix, group in (("world", trace.world), ("outputs", trace.outputs)):
        for name, column in group.items():
            assert np.array_equal([record[f"{prefix}/{name}"] for record in taken.ticks], column)
    assert np.array_equal([record["applied"] for record in taken.ticks], trace.timing["applied_action"])
    assert np.array_equal([record["boundary"] for record in taken.ticks], trace.timing["boundary"])
    for place, name in enumerate(FIGURES):
        assert np.array_equal([record["figures"][place] for record in taken.ticks], trace.timing[name])


def test_the_goal_in_force_travels_with_every_tick():
    taken = Taken(Limits(ticks=9))
    goals = [record["state/goal"].tolist() for record in taken.ticks]
    assert [goals.index(goal) for goal in goals] == [0, 0, 0, 0, 0, 5, 5, 5, 5]
    assert goals[-1] == taken.session.state()["goal"].tolist()


def test_the_whole_state_is_told_at_chunk_boundaries_at_least_every_ten_seconds():
    taken = Taken(Limits(ticks=2000))
    moments = [(int(record["tick"]), int(record["time_ns"])) for record in taken.states]
    assert (moments[0][0], moments[-1][0]) == (0, 2000)
    gaps_s = np.diff([time_ns for _, time_ns in moments]) / NS_PER_S
    assert 1 < gaps_s.max() <= 10
    starts = {record["tick"] for record in taken.ticks if record["boundary"]}
    assert {tick for tick, _ in moments[1:-1]} <= starts


def test_a_policy_without_chunks_has_its_state_told_too():
    memory, actor = CONTRACT.model.graphs
    graphs = (memory.model_copy(update={"every": 10**6}), actor)
    endless = TASK.model_copy(update={"horizon": 10**6})
    model = CONTRACT.model.model_copy(update={"graphs": graphs})
    taken = Taken(Limits(ticks=2000), contract=CONTRACT.model_copy(update={"model": model, "task": endless}))
    gaps_s = np.diff([int(record["time_ns"]) for record in taken.states]) / NS_PER_S
    assert len(gaps_s) >= 4
    assert gaps_s.max() <= 10


def test_slots_without_a_step_and_what_was_wrong_are_told():
    taken = Taken(Limits(episodes=2), blind=range(20, 23))
    assert len(taken.slots) == 3 + 2  # held ones, and the last of each episode
    assert taken.events.count(("fault", "observation not finite")) == 3
    assert [detail for kind, detail in taken.events if kind == "stop"] == ["episodes: the limit was reached"]
    ended = [detail for kind, detail in taken.events if kind == "episode"]
    assert ended == [f"episode {n + 1} ended, return {value:.6g}" for n, value in enumerate(taken.tally.returns)]
    counts = dict(zip(COUNTS, taken.slots[-1]["counts"].tolist(), strict=True))
    assert (counts["slots"], counts["held_slots"]) == (taken.tally.slots, 3)


def test_a_stop_by_the_guard_tells_the_fault_that_led_to_it():
    taken = Taken(Limits(), blind=range(20, 100))
    assert taken.summary.stopped_by == "guard"
    assert taken.events.count(("fault", "observation not finite")) == taken.summary.faults["observation not finite"]
    assert taken.events[-1][1].startswith("guard: held too long: observation not finite")


def test_publishing_allocates_nothing_that_stays():
    session = FakeSession(CONTRACT)
    shared, agent = SharedRecorder(CONTRACT, 50.0, FakeClock()), Agent(session)
    outputs = agent.propose(np.zeros((1, 2), np.float32), np.zeros(1, np.float32), np.array([True]))
    applied, figures = outputs["action"][0], (10**9,) * 6

    def take(turns: int) -> None:
        for _ in range(turns):
            shared.propose(agent.world, outputs, True, session)
            shared.commit(figures, applied)

    shared.begin(session)
    take(2000)  # the interpreter lays out caches of its own meanwhile
    tracemalloc.start()
    try:
        take(4000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    shared.close()
    assert grown < 1024


@pytest.mark.parametrize("module", ["dmh_edge.runtime.nothing", "this"])
def test_a_reader_that_cannot_start_is_said_before_anything_moves(module, capfd):
    shared = SharedRecorder(CONTRACT, 50.0, FakeClock())
    shared.start("reader", module, {})
    with pytest.raises(ArtifactError, match="ended at its start"):
        shared.begin(FakeSession(CONTRACT))
    shared.close()
    capfd.readouterr()
