from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.records.trace_recorder import LARGEST_BYTES, TraceRecorder
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.fake_session import FakeSession, fake_contract
from dmh_edge.runtime.sessions.replay import replay

CONTRACT = fake_contract(TWO_JOINTS)
FIGURES = (1, 2, 3, 4, 5, 6)


def drive(recorder: TraceRecorder, session: FakeSession, ticks: int) -> None:
    """Feed and record random ticks; every third proposal is thrown away first."""
    agent, random = Agent(session, seed=0), np.random.default_rng(1)
    recorder.begin(session)
    for tick in range(ticks):
        for attempt in range(1 + (tick % 3 == 2)):
            observation = random.normal(size=(1, 2)).astype(np.float32)
            reward = random.normal(size=1).astype(np.float32)
            outputs = agent.propose(observation, reward, np.array([tick % 7 == 0]))
            recorder.propose(agent.world, outputs, tick % 7 == 0, session)
            if attempt == tick % 3 // 2:
                applied = np.clip(outputs["action"], -0.5, 0.5)
                agent.commit(applied)
                recorder.commit((tick, *FIGURES[1:]), applied[0])


def test_what_is_recorded_replays_without_a_difference():
    session = FakeSession(CONTRACT)
    recorder = TraceRecorder(CONTRACT, 100)
    drive(recorder, session, 30)
    trace = recorder.trace(session)
    assert (trace.ticks, trace.batch, trace.unrecorded) == (30, 1, 0)
    assert trace.timing["slot"].tolist() == list(range(30))
    assert trace.timing["total_ns"].tolist() == [6] * 30
    assert trace.timing["boundary"].sum() == 5
    assert np.array_equal(trace.timing["applied_action"][:-1], trace.world["previous_action"][1:])
    assert replay(trace, FakeSession(CONTRACT)).require().worst_error == 0


def test_a_full_recorder_stops_counts_and_still_replays_to_its_own_end():
    session = FakeSession(CONTRACT)
    recorder = TraceRecorder(CONTRACT, 20)
    drive(recorder, session, 33)
    trace = recorder.trace(session)
    assert (trace.ticks, trace.unrecorded, recorder.unrecorded) == (20, 13, 13)
    assert replay(trace, FakeSession(CONTRACT)).require().worst_error == 0
    assert not np.array_equal(trace.final_state["heard"], session.state()["heard"])


def test_recording_allocates_nothing_that_stays():
    session = FakeSession(CONTRACT)
    recorder = TraceRecorder(CONTRACT, 5000)
    agent = Agent(session)
    outputs = agent.propose(np.zeros((1, 2), np.float32), np.zeros(1, np.float32), np.array([True]))
    applied = outputs["action"][0]
    figures = [10**9] * 6
    tracemalloc.start()
    try:
        for _ in range(4000):
            recorder.propose(agent.world, outputs, False, session)
            recorder.commit(figures, applied)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1024


def test_an_endless_run_gets_no_more_memory_than_there_is_room_for():
    recorder = TraceRecorder(CONTRACT, math.inf)
    held = sum(column.nbytes for column in recorder._columns.values())
    assert 0.99 * LARGEST_BYTES < held <= LARGEST_BYTES


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(), math.inf),
        (Limits(ticks=7), 7),
        (Limits(episodes=3), 150),
        (Limits(duration_s=2.001), 102),
        (Limits(ticks=1000, episodes=3, duration_s=60), 150),
    ],
)
def test_the_limits_tell_how_many_ticks_there_can_be(limits, most):
    assert limits.most_ticks(TWO_JOINTS, 50.0) == most


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"ticks": 0}, "ticks"), ({"episodes": -1}, "episodes"), ({"duration_s": math.nan}, "duration: got nan")],
)
def test_a_limit_that_is_none_is_refused(bad, name):
    with pytest.raises(ConfigError, match=name):
        Limits(**bad)
