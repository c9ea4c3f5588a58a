"""Valuable sub-goals: the state ahead with the most reward per step, the earliest on ties."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.data.episodes import Episodes
from dmh_edge.data.subgoals import valuable_subgoals
from dmh_edge.tasks.darkroom import SPEC


def episodes_with(rewards: list[list[float]]) -> Episodes:
    lengths = np.array([len(one) for one in rewards])
    steps, count = int(lengths.sum()), len(rewards)
    nothing = np.zeros(count, np.int64)
    return Episodes(
        spec=SPEC,
        observation=np.zeros((steps + count, 2), np.float32),
        action=np.zeros(steps, np.int64),
        expert_action=None,
        reward=np.concatenate(rewards).astype(np.float32),
        terminated=np.zeros(count, bool),
        hidden=nothing,
        history=nothing,
        number=nothing,
        length=lengths,
    )


def brute_force(rewards: list[float], start: int) -> int:
    best, best_value = -1, -np.inf
    for j in range(start + 1, len(rewards) + 1):
        total = 0.0
        for reward in rewards[start:j]:
            total += float(np.float32(reward))
        if total / (j - start) > best_value:
            best, best_value = j, total / (j - start)
    return best


@pytest.mark.parametrize(
    ("rewards", "chunk", "expected"),
    [
        ([0, 0, 1, 0, 1], 5, [5]),  # 2/5 at the final observation beats 1/3 at s_3
        ([0, 0, 0, 0, 0], 2, [1, 3, 5]),  # nothing to be had: the next state
        ([1, 1, 1, 1], 2, [1, 3]),  # a tie of all: the earliest
        ([0, 1, 0, 1], 4, [2]),  # 1/2 twice: the earlier
        ([-1, -1, -0.1], 3, [3]),  # losses: the average that is least bad, at the final observation
        (
            [2**30, 2**-24, 3 * 2**-24, 2 * 2**-24],
            1,
            [1, 3, 3, 4],
        ),  # a tie that differences of one running sum would break
    ],
)
def test_examples_worked_out_by_hand(rewards: list[float], chunk: int, expected: list[int]) -> None:
    assert valuable_subgoals(episodes_with([rewards]), chunk).tolist() == expected


@pytest.mark.parametrize("chunk", [1, 3, 5, 100])
@pytest.mark.parametrize("kind", ["many ties", "real numbers"])
def test_ragged_episodes_agree_with_a_loop(chunk: int, kind: str) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 31, 40)
    draw = rng.normal if kind == "real numbers" else lambda size: rng.integers(-1, 2, size) * 0.1
    rewards = [draw(size=length).tolist() for length in lengths]
    expected = [brute_force(one, start) for one in rewards for start in range(0, len(one), chunk)]
    assert valuable_subgoals(episodes_with(rewards), chunk).tolist() == expected
