"""Select the episodes to learn from: all, or the best of each hidden task, without the tasks that are held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import ConfigError, DataError


def validation_ids(train_ids: Sequence[int], count: int) -> tuple[int, ...]:
    """Choose ``count`` hidden tasks from those of the data; always the same ones, in ascending order.

    Raises:
        ConfigError: no hidden task would be left to learn from.
    """
    if count >= len(train_ids):
        raise ConfigError(f"data.hold_out: got {count}, expected fewer than the {len(train_ids)} tasks of the data")
    chosen = np.random.default_rng(0).permutation(len(train_ids))[:count]
    return tuple(sorted(train_ids[index] for index in chosen))


def learnable(episodes: Episodes, held_out: Sequence[int], top_fraction: float) -> Episodes:
    """Return the episodes to learn from.

    Args:
        episodes: the data.
        held_out: hidden tasks to leave out.
        top_fraction: share of each hidden task's episodes to keep, at least one: those with the highest returns; if
            returns are equal, the later ones.

    Raises:
        DataError: the data do not have a task that is to be held out, or have no other task.
    """
    if absent := sorted(set(held_out) - set(episodes.hidden.tolist())):
        raise DataError(
            f"data.hold_out: the data have no episode of hidden task {absent[0]}, which is to be held out; they number "
            "their tasks differently or lack some: set it to 0, or make the data with `dmh-edge data`"
        )
    keep = ~np.isin(episodes.hidden, held_out)
    if not keep.any():
        raise DataError(
            f"data.hold_out holds out all {len(np.unique(episodes.hidden))} hidden tasks of the data; hold out fewer"
        )
    if top_fraction < 1:
        keep &= _among_the_best(episodes, top_fraction)
    return episodes if keep.all() else episodes.select(keep)


def _among_the_best(episodes: Episodes, fraction: float) -> NDArray[np.bool_]:
    order = np.lexsort((episodes.returns, episodes.hidden))  # by task, and ascending by return
    _, first, count = np.unique(episodes.hidden[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, count)
    best = rank >= np.repeat(count - np.maximum(1, np.round(fraction * count).astype(int)), count)
    kept: NDArray[np.bool_] = np.zeros(len(order), np.bool_)
    kept[order] = best
    return kept
