from __future__ import annotations

import numpy as np

from dmh_edge.contract import GraphSpec
from dmh_edge.runtime.sessions.schedule import Schedule

GRAPHS = (
    GraphSpec(name="memory", file="m.onnx", every=3, restart_on="episode_start", inputs=("x",), outputs=("y",)),
    GraphSpec(name="actor", file="a.onnx", inputs=("x",), outputs=("y",)),
)


def due_ticks(starts: list[list[bool]]) -> list[bool]:
    schedule = Schedule(GRAPHS, len(starts[0]))
    due = []
    for row in starts:
        memory, actor = schedule.propose(np.array(row))
        assert actor
        due.append(memory)
        schedule.commit()
    return due


def test_memory_is_due_at_an_episodes_start_and_every_few_ticks_from_there() -> None:
    starts = [[tick in (0, 5)] for tick in range(9)]
    assert due_ticks(starts) == [True, False, False, True, False, True, False, False, True]


def test_memory_is_due_when_any_robot_is_due() -> None:
    starts = [[tick == 0, tick in (0, 1)] for tick in range(5)]
    assert due_ticks(starts) == [True, True, False, True, True]


def test_a_tick_that_was_only_proposed_does_not_count() -> None:
    schedule = Schedule(GRAPHS, 1)
    start, later = np.array([True]), np.array([False])
    schedule.propose(start)
    schedule.commit()
    for _ in range(5):
        assert schedule.propose(later) == [False, True]
    assert schedule.ticks_in_episode.tolist() == [1]
