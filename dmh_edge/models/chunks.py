"""Contexts cut into chunks: what a model reads in training, and what it should answer.

    symbol  name
    B       contexts
    J       chunks of a context (padded at the end)
    c       steps of a chunk
    S, A    observation and action

Both classes hold numpy arrays where contexts are drawn, and tensors where a model reads them. Steps that do not exist
are zeros, and ``valid`` is false there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Array = TypeVar("Array")


@dataclass(frozen=True)
class Chunks(Generic[Array]):
    """What a model's ``forward`` reads.

    Attributes:
        observation: ``[B, J, c, S]`` float32.
        action: ``[B, J, c, A]`` float32, or ``[B, J, c]`` int64.
        reward: ``[B, J, c]`` float32; r_t follows a_t.
        valid: ``[B, J, c]`` bool: there is such a step.
        episode_start: ``[B, J]`` bool: this chunk starts an episode.
        target_return: ``[B, J]`` float32: the return asked of the chunk's episode; read where ``episode_start``.
    """

    observation: Array
    action: Array
    reward: Array
    valid: Array
    episode_start: Array
    target_return: Array


@dataclass(frozen=True)
class LabelledChunks(Chunks[Array]):
    """What training reads: chunks, and what they should teach.

    Attributes:
        label: the action to imitate, shaped like ``action``.
        weight: ``[B, J, c]`` float32: how much a step counts; 1 on average over the data.
        subgoal_observation: ``[B, J, S]`` float32: the valuable sub-goal of each chunk.
    """

    label: Array
    weight: Array
    subgoal_observation: Array
