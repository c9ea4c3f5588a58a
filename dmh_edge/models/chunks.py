"""Contexts cut into chunks: what a model reads in training, and what it should answer.

    symbol  name
    B       contexts
    J       chunks of a context (padded at the end)
    c       steps of a chunk
    S, A    size of the observation and of the action

Both classes hold numpy arrays when contexts are drawn, and tensors when a model reads them. Padding steps are zeros,
and their ``valid`` is false.
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
        valid: ``[B, J, c]`` bool: the step exists, it is not padding.
        episode_start: ``[B, J]`` bool: this chunk starts an episode.
        target_return: ``[B, J]`` float32: target return of the chunk's episode; read only where ``episode_start`` is
            true.
    """

    observation: Array
    action: Array
    reward: Array
    valid: Array
    episode_start: Array
    target_return: Array


@dataclass(frozen=True)
class LabelledChunks(Chunks[Array]):
    """What training reads: chunks, and what the model should answer in them.

    Attributes:
        label: the action to imitate, shaped like ``action``.
        weight: ``[B, J, c]`` float32: weight of a step in the loss; 1 on average over the data.
        subgoal_observation: ``[B, J, S]`` float32: the valuable sub-goal of each chunk.
    """

    label: Array
    weight: Array
    subgoal_observation: Array
