"""Across-episodic contexts, laid out in chunks: B contexts of J chunks of c steps.

A chunk covers c steps of one episode, or what is left of it. A context is several episodes of one hidden task, one
after the other. Padding steps and padding chunks, which only fill the array, are zero and not valid.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes
from dmh_edge.data.subgoals import valuable_subgoals
from dmh_edge.errors import DataError
from dmh_edge.models.chunks import LabelledChunks


class ContextSampler:
    """Draws across-episodic contexts from a data set of learning histories.

    All chunks of the data are laid out once; a draw only gathers them. If episodes differ much in length, the contexts
    of one draw are about equally long, so that little of what is computed is padding: all contexts of a draw are of
    tasks whose longest episodes lie between the same two powers of two.

    Args:
        episodes: the data.
        chunk: steps per chunk, c.
        episodes_per_context: episodes of one hidden task in a context, n, all different.
        expert_labels: whether to label with the expert's actions, if the data have them; else with the actions taken.
        target: the target return of each episode: its own return, or the best return of its context.
        balance: whether each choice of action has the same weight in total; else each step has the same weight.
        last_only: whether only the last episode of each context has weight.

    Raises:
        DataError: a hidden task has fewer than n episodes.
    """

    def __init__(
        self,
        episodes: Episodes,
        *,
        chunk: int,
        episodes_per_context: int,
        expert_labels: bool = True,
        target: Literal["own", "best"] = "own",
        balance: bool = False,
        last_only: bool = False,
    ) -> None:
        tasks, counts = np.unique(episodes.hidden, return_counts=True)
        if counts.min() < episodes_per_context:
            raise DataError(
                f"hidden task {tasks[counts.argmin()]} has {counts.min()} episodes, but a context needs "
                f"{episodes_per_context}; ask for fewer per context, or make more data"
            )
        self._per_context = episodes_per_context
        self._target = target
        self._last_only = last_only
        self._returns = episodes.returns
        self._of_task = np.split(np.argsort(episodes.hidden, kind="stable"), np.cumsum(counts)[:-1])
        scale = [int(episodes.length[own].max()).bit_length() for own in self._of_task]
        self._alike = [np.flatnonzero(np.equal(scale, one)) for one in sorted(set(scale))]
        self._share = np.array([len(group) for group in self._alike]) / len(scale)
        self._table = _ChunkTable(episodes, chunk, expert_labels, balance)

    def draw(self, seed: int, update: int, batch: int) -> LabelledChunks[NDArray[Any]]:
        """Draw the contexts of one update: a pure function of its arguments.

        Args:
            seed: seed of the whole training.
            update: number of the gradient update.
            batch: number of contexts, B. For each, a hidden task and n of its episodes are drawn; the episodes are
                sorted by return, lowest first.
        """
        rng = np.random.default_rng((seed, update))
        alike = self._alike[rng.choice(len(self._alike), p=self._share)] if len(self._alike) > 1 else self._alike[0]
        tasks = alike[rng.integers(len(alike), size=batch)]
        chosen = np.stack([rng.choice(self._of_task[task], self._per_context, replace=False) for task in tasks])
        order = np.argsort(self._returns[chosen], axis=1, kind="stable")  # [B, n]; ties stay in random order
        chosen = np.take_along_axis(chosen, order, axis=1)
        target = self._returns[chosen[:, -1:] if self._target == "best" else chosen]
        return self._table.contexts(chosen, np.broadcast_to(target, chosen.shape), self._last_only)


class WholeContextSampler:
    """Draws contexts that were played as they are, all their episodes in the order of time.

    Args:
        episodes: the data: every history is a context, and all have equally many episodes.
        chunk: steps per chunk, c.
        target_return: target return of every episode: the one that the policy will be asked for when it is deployed.
        balance, last_only: as in `ContextSampler`.
    """

    def __init__(
        self, episodes: Episodes, *, chunk: int, target_return: float, balance: bool = False, last_only: bool = False
    ) -> None:
        order = np.lexsort((episodes.number, episodes.history))
        self._contexts = order.reshape(len(np.unique(episodes.history)), -1)  # [contexts, n]
        self._target_return = target_return
        self._last_only = last_only
        self._table = _ChunkTable(episodes, chunk, expert_labels=True, balance=balance)

    def draw(self, seed: int, update: int, batch: int) -> LabelledChunks[NDArray[Any]]:
        """Draw the contexts of one update, all different where there are enough: a pure function of its arguments."""
        rng = np.random.default_rng((seed, update))
        chosen = self._contexts[rng.choice(len(self._contexts), batch, replace=batch > len(self._contexts))]
        return self._table.contexts(chosen, np.full(chosen.shape, self._target_return), self._last_only)


class _ChunkTable:
    """Every chunk of the data, laid out once; the last one is a padding chunk.

    Args:
        episodes: the data.
        chunk: steps per chunk, c.
        expert_labels, balance: as in `ContextSampler`.
    """

    def __init__(self, episodes: Episodes, chunk: int, expert_labels: bool, balance: bool) -> None:
        self._count = -(-episodes.length // chunk)  # chunks of each episode [E]
        self._first = np.cumsum(self._count) - self._count
        self._columns = _columns(episodes, chunk, self._count, self._first, expert_labels, balance)

    def contexts(
        self, chosen: NDArray[np.int64], target: NDArray[np.float64], last_only: bool
    ) -> LabelledChunks[NDArray[Any]]:
        """Return contexts of the episodes ``chosen [B, n]``, with target returns ``[B, n]``."""
        count = self._count[chosen]  # [B, n]
        ends = np.cumsum(count, axis=1)
        total = ends[:, -1]
        used = np.arange(total.max()) < total[:, None]  # [B, J]
        flat_count = count.ravel()
        within = np.arange(flat_count.sum()) - np.repeat(np.cumsum(flat_count) - flat_count, flat_count)
        nothing = len(self._columns["valid"]) - 1
        chunks = np.full(used.shape, nothing)
        chunks[used] = np.repeat(self._first[chosen.ravel()], flat_count) + within
        targets = np.zeros(used.shape, np.float32)
        targets[used] = np.repeat(target.ravel(), flat_count)
        gathered: dict[str, Any] = {name: column.take(chunks, axis=0) for name, column in self._columns.items()}
        if last_only:
            gathered["weight"][np.arange(used.shape[1]) < (total - count[:, -1])[:, None]] = 0
        steps = int(gathered["valid"].any(axis=(0, 1)).sum())  # steps of the longest chunk
        for name in _PER_STEP:
            gathered[name] = np.ascontiguousarray(gathered[name][:, :, :steps])
        return LabelledChunks(target_return=targets, **gathered)


_PER_STEP = ("observation", "action", "label", "weight", "reward", "valid")


def _columns(
    episodes: Episodes,
    chunk: int,
    count: NDArray[np.int64],
    first: NDArray[np.int64],
    expert_labels: bool,
    balance: bool,
) -> dict[str, NDArray[Any]]:
    """Return every chunk of the data, ``[K + 1, ...]``; the last row is a padding chunk."""
    episode = np.repeat(np.arange(len(count)), count)  # [K]
    begin = (np.arange(len(episode)) - first[episode]) * chunk
    step = begin[:, None] + np.arange(chunk)  # [K, c], within the episode
    valid = step < episodes.length[episode, None]
    row = np.where(valid, episodes.start[episode, None] + step, 0)
    label = episodes.expert_action if expert_labels and episodes.expert_action is not None else episodes.action
    subgoal = episodes.start[episode] + episode + valuable_subgoals(episodes, chunk)

    def laid_out(column: NDArray[Any], rows: NDArray[np.int64] = row) -> NDArray[Any]:
        chunks = column[rows]
        chunks[~valid] = 0
        return chunks

    table = {
        "observation": laid_out(episodes.observation, row + episode[:, None]),
        "action": laid_out(episodes.action),
        "label": laid_out(label),
        "weight": laid_out(_weights(label, balance)),
        "reward": laid_out(episodes.reward),
        "valid": valid,
        "episode_start": begin == 0,
        "subgoal_observation": episodes.observation[subgoal],
    }
    return {name: np.concatenate([column, np.zeros_like(column[:1])]) for name, column in table.items()}


def _weights(label: NDArray[Any], balance: bool) -> NDArray[np.float32]:
    """Return the weight of each step ``[N]``, 1 on average: all equal, or equal in total for all choices."""
    if not balance:
        return np.ones(len(label), np.float32)
    _, choice, count = np.unique(label, return_inverse=True, return_counts=True)
    weights: NDArray[np.float32] = (len(label) / (len(count) * count)).astype(np.float32)[choice]
    return weights
