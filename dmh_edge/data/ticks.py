"""Ticks laid out in chunks: inputs that a robot got one tick at a time, in the layout that ``forward`` reads.

With this layout, a trace of the step form can be compared with ``forward`` over the whole sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.models.chunks import Chunks


@dataclass(frozen=True)
class TickChunks:
    """T ticks of B robots in chunks.

    Attributes:
        chunks: the sequences, ``[B, J, ...]``.
        noise: ``[B, J, K]`` float32: the noise of each chunk's first tick; K = 0 for a policy that reads none.
        chunk: ``[T, B]`` int64: number of the chunk in which each tick lies.
        slot: ``[T, B]`` int64: number of the step within its chunk, for each tick.
    """

    chunks: Chunks[NDArray[Any]]
    noise: NDArray[np.float32]
    chunk: NDArray[np.int64]
    slot: NDArray[np.int64]


def chunks_of_ticks(world: Mapping[str, NDArray[Any]], chunk: int) -> TickChunks:
    """Lay out the world tensors of a trace that begins with an empty memory.

    A new chunk begins with each episode, and c ticks after the beginning of the chunk before. In the trace, reward and
    action are those before the tick; in a chunk they follow it. What followed the last tick of a row is not known. It
    is set to zeros, which nothing computed up to that tick reads.

    Args:
        world: ``observation [T, B, S]``, ``reward [T, B]``, ``previous_action [T, B, A]`` or ``[T, B]``,
            ``episode_start [T, B]``, and, for a policy that reads them, ``noise [T, B, K]`` and
            ``target_return [T, B]``.
        chunk: ticks per chunk, c.
    """
    starts = world["episode_start"]
    ticks, batch = starts.shape
    now = np.arange(ticks)[:, None]
    episode_began = np.maximum.accumulate(np.where(starts, now, 0), axis=0)  # [T, B]
    slot = (now - episode_began) % chunk
    due = slot == 0
    index = np.cumsum(due, axis=0) - 1
    shape = (batch, int(index.max()) + 1)
    robot = np.broadcast_to(np.arange(batch), starts.shape)

    def per_tick(values: NDArray[Any]) -> NDArray[Any]:
        column = np.zeros((*shape, chunk, *values.shape[2:]), values.dtype)
        column[robot, index, slot] = values
        return column

    def per_chunk(values: NDArray[Any]) -> NDArray[Any]:
        column = np.zeros((*shape, *values.shape[2:]), values.dtype)
        column[robot[due], index[due]] = values[due]
        return column

    def following(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values[1:], np.zeros_like(values[:1])])

    asked = world.get("target_return", np.zeros(starts.shape, np.float32))
    target = asked[episode_began, robot]
    chunks = Chunks(
        observation=per_tick(world["observation"]),
        action=per_tick(following(world["previous_action"])),
        reward=per_tick(following(world["reward"])),
        valid=per_tick(np.ones_like(due)),
        episode_start=per_chunk(starts),
        target_return=per_chunk(target),
    )
    noise = world.get("noise", np.zeros((*starts.shape, 0), np.float32))
    return TickChunks(chunks, per_chunk(noise), index, slot)


def longest_episode(starts: NDArray[np.bool_]) -> int:
    """Return the ticks of the longest episode; episodes begin where ``starts`` ``[T, B]`` is true."""
    ends = np.concatenate([starts[1:], np.ones_like(starts[:1])])
    now = np.arange(len(starts))[:, None]
    began = np.maximum.accumulate(np.where(starts, now, 0), axis=0)
    return int((now - began + 1)[ends].max())
