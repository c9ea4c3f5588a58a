"""Valuable sub-goals: for each chunk, the later state of the episode that was reached with the highest mean reward."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes


def valuable_subgoals(episodes: Episodes, chunk: int) -> NDArray[np.int64]:
    """Return the valuable sub-goal of every chunk.

    For a chunk that starts at step i, this is the j in i < j <= T that maximises (r_i + ... + r_{j-1}) / (j - i); if
    several do, the earliest. T is the episode's length, so the sub-goal can be its final observation.

    Args:
        episodes: the data.
        chunk: steps per chunk, c.

    Returns:
        j for every chunk, ``[K]``: episode after episode, the chunks of each in time order.
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
        # Summed again from each start, not as a difference of two running sums, so that equal averages stay equal.
        average = np.cumsum(reward[rows, start:], axis=1) / (1 + steps[: longest - start])
        average[~inside[rows, start:]] = -np.inf
        best[first_chunk[rows] + index] = start + 1 + average.argmax(axis=1)
    return best
