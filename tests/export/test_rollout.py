from __future__ import annotations

import numpy as np

from dmh_edge.contract import PolicyContract
from dmh_edge.export.rollout import random_world
from dmh_edge.runtime.sessions.schedule import Schedule

EPISODE = 10


def test_chunks_wrap_and_memories_restart_often_and_out_of_phase(contract: PolicyContract) -> None:
    world = random_world(contract.task, contract.model, EPISODE, 60, 3)
    schedule = Schedule(contract.model.graphs, 3)
    positions = []
    for starts in world["episode_start"]:
        schedule.propose(starts)
        schedule.commit()
        positions.append(schedule.ticks_in_episode - 1)
    ticks_in_episode = np.array(positions)  # [T, B]
    chunk = contract.model.graphs[0].every
    wraps = (ticks_in_episode > 0) & (ticks_in_episode % chunk == 0)
    assert (wraps.sum(0) >= 4).all()
    assert (world["episode_start"].sum(0) >= 4).all()  # the first, and at least three resets
    assert (ticks_in_episode % chunk != (ticks_in_episode % chunk)[:, :1]).any(0)[1:].all()


def test_everything_is_random_and_within_bounds(contract: PolicyContract) -> None:
    world = random_world(contract.task, contract.model, EPISODE, 200, 2)
    assert world.keys() == {spec.name for spec in contract.model.world}
    for spec in contract.model.world:
        assert world[spec.name].dtype == spec.dtype
        assert world[spec.name].shape == (200, *spec.zeros(2).shape)
        assert world[spec.name][1:].std() > 0, spec.name
    for i, element in enumerate(contract.task.observation):
        column = world["observation"][..., i]
        assert column.min() >= element.low
        assert column.max() <= element.high
        if element.levels:
            assert set(np.unique(column)) == set(range(int(element.low), int(element.high) + 1))


def test_the_first_tick_starts_an_episode_with_nothing_before_it(contract: PolicyContract) -> None:
    world = random_world(contract.task, contract.model, EPISODE, 5, 3)
    assert world["episode_start"][0].all()
    assert not world["reward"][0].any()
    assert not world["previous_action"][0].any()
