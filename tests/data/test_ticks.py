"""Ticks in chunks: what a robot met tick by tick lies where ``forward`` looks for it, each row in its own phase."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.data.ticks import chunks_of_ticks

CHUNK, TICKS = 3, 23


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    starts = np.zeros((TICKS, 3), bool)
    starts[0] = True
    for robot, ticks in enumerate([[7, 8], [3, 12, 14], [5]]):
        starts[ticks, robot] = True
    return {
        "observation": rng.normal(size=(TICKS, 3, 2)).astype(np.float32),
        "reward": rng.normal(size=(TICKS, 3)).astype(np.float32),
        "previous_action": rng.normal(size=(TICKS, 3, 4)).astype(np.float32),
        "episode_start": starts,
        "target_return": rng.normal(size=(TICKS, 3)).astype(np.float32),
        "noise": rng.normal(size=(TICKS, 3, 5)).astype(np.float32),
    }


def test_every_tick_lies_in_the_chunk_and_slot_that_a_counter_gives_it(world: dict[str, np.ndarray]) -> None:
    laid = chunks_of_ticks(world, CHUNK)
    for robot in range(3):
        chunk, chunk_step, target = -1, 0, np.float32(0)
        for tick in range(TICKS):
            start = world["episode_start"][tick, robot]
            target = world["target_return"][tick, robot] if start else target
            if start or chunk_step == 0:  # due, as the step form counts it
                chunk, chunk_step = chunk + 1, 0
                assert np.array_equal(laid.noise[robot, chunk], world["noise"][tick, robot])
                assert laid.chunks.episode_start[robot, chunk] == start
                assert laid.chunks.target_return[robot, chunk] == target
            assert (laid.chunk[tick, robot], laid.slot[tick, robot]) == (chunk, chunk_step)
            place = robot, chunk, chunk_step
            assert laid.chunks.valid[place]
            assert np.array_equal(laid.chunks.observation[place], world["observation"][tick, robot])
            last = tick == TICKS - 1
            assert laid.chunks.reward[place] == (0 if last else world["reward"][tick + 1, robot])
            action = np.zeros(4) if last else world["previous_action"][tick + 1, robot]
            assert np.array_equal(laid.chunks.action[place], action)
            chunk_step = (chunk_step + 1) % CHUNK


def test_what_no_tick_fills_is_nothing(world: dict[str, np.ndarray]) -> None:
    laid = chunks_of_ticks(world, CHUNK)
    assert laid.chunks.valid.sum() == TICKS * 3
    for column in (laid.chunks.observation, laid.chunks.action, laid.chunks.reward):
        assert not column[~laid.chunks.valid].any()
    assert laid.chunks.valid.shape == (3, laid.chunk.max() + 1, CHUNK)


def test_the_reward_of_an_episodes_last_step_comes_with_the_first_tick_of_the_next(
    world: dict[str, np.ndarray],
) -> None:
    laid = chunks_of_ticks(world, CHUNK)
    place = 0, laid.chunk[6, 0], laid.slot[6, 0]
    assert laid.chunks.reward[place] == world["reward"][7, 0]
    assert world["episode_start"][7, 0]


def test_types_stay_and_choices_need_no_further_axis(world: dict[str, np.ndarray]) -> None:
    discrete = world | {
        "previous_action": np.full((TICKS, 3), 2),
        "observation": world["observation"].astype(np.float64),
    }
    laid = chunks_of_ticks(discrete, CHUNK)
    assert laid.chunks.action.dtype == np.int64
    assert laid.chunks.action.shape == laid.chunks.reward.shape
    assert laid.chunks.observation.dtype == np.float64
