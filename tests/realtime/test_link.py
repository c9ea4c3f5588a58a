"""The rings of an arm: rows of numbers in shared memory, written by one side and read by the other."""

from __future__ import annotations

import pickle

from dmh_edge.robots.mujoco_link import EVENTS, SAMPLES, Link, PhysicsEvent, PhysicsWord


def test_what_one_side_writes_the_other_side_reads_each_row_in_its_own_ring() -> None:
    one = Link(actions=2, elements=3)
    other = pickle.loads(pickle.dumps(one))
    other.commands.append(10**18 + 1, 4, 1, 0.1, -1e300)
    one.samples.append(10**18 + 2, 5, 0.1, 1.0, -2.5, 0.0)
    one.events.append(PhysicsEvent.VIOLATION, 10**18 + 3, 6)
    assert one.commands.read(0) == (10**18 + 1, 4, 1, 0.1, -1e300)
    assert other.samples.read(0) == (10**18 + 2, 5, 0.1, 1.0, -2.5, 0.0)
    assert other.events.read(0) == (PhysicsEvent.VIOLATION, 10**18 + 3, 6)
    assert (one.commands.count, one.samples.count, one.events.count) == (1, 1, 1)
    assert one.commands.read(1) is None


def test_full_rings_do_not_reach_into_each_other() -> None:
    link = Link(actions=1, elements=1)
    for number in range(EVENTS + 5):
        link.commands.append(number, number, 1, number / 2)
        link.samples.append(number, number, -number, number)
        link.events.append(PhysicsEvent.COMMAND, number, number)
    newest, oldest = EVENTS + 4, EVENTS + 5 - SAMPLES
    assert link.commands.read(newest) == (newest, newest, 1, newest / 2)
    assert link.samples.read(oldest - 1) is None
    assert link.samples.read(oldest) == (oldest, oldest, -oldest, oldest)
    assert [link.events.read(number) for number in (4, 5)] == [None, (PhysicsEvent.COMMAND, 5, 5)]
    assert not any(link.words[: len(PhysicsWord)])
