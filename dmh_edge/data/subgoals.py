"""Valuable sub-goals: for each chunk, the state ahead that was reached with the highest reward per step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes


def valuable_subgoals(episodes: Episodes, chunk: int) -> NDArray[np.int64]:
    """The valuable sub-goal of every chunk: for one that starts at step i, the j in i < j <= T that maximises
    (r_i + ... + r_{j-1}) / (j - i).

    The earliest j on ties. T is the episode's length, so the sub-goal may be its final observation.

    Args:
        episodes: the data.
        chunk: steps per chunk, c.

    Returns:
        j for every chunk, ``[K]``: episodes one behind the other, the chunks of each in time order.
    """
    length, count = episodes.length, -(-episodes.length // chunk)
    longest = int(length.max())
    steps = np.arange(longest)
    inside = steps < length[:, None]  # [E, T]
    reward = np.zeros(inside.shape)
    reward[inside] = episodes.reward
    best = np.empty(count.sum(), np.int64)
    first_chunk = np.cumsum(count) - count
    for index, start in enumerate(range(0, longest, chunk)):
        rows = np.flatnonzero(length > start)
        # Summed from each start again and not as a difference of two running sums: equal averages stay equal.
        average = np.cumsum(reward[rows, start:], axis=1) / (1 + steps[: longest - start])
        average[~inside[rows, start:]] = -np.inf
        best[first_chunk[rows] + index] = start + 1 + average.argmax(axis=1)
    return best
