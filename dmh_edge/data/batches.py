"""Contexts as tensors: from numpy to what a policy's ``loss`` reads."""

from __future__ import annotations

import torch
from torch import Tensor

from dmh_edge.data.contexts import ChunkArrays, LabelledChunks
from dmh_edge.models.policy_model import Chunks, Lesson


def chunks(arrays: ChunkArrays, noise: Tensor) -> Chunks:
    """What a policy's ``forward`` reads, on the device of ``noise`` ``[B, J, Z]`` and with its type of numbers."""

    def moved(name: str) -> Tensor:
        tensor = torch.from_numpy(getattr(arrays, name)).to(noise.device, non_blocking=True)
        return tensor.to(noise.dtype) if tensor.is_floating_point() else tensor

    return Chunks(
        observation=moved("observation"),
        action=moved("action"),
        reward=moved("reward"),
        valid=moved("valid"),
        episode_start=moved("episode_start"),
        target_return=moved("target_return"),
        noise=noise,
    )


def lessons(arrays: LabelledChunks, chunk_noise: int, device: torch.device) -> tuple[Chunks, Lesson]:
    """What a policy's ``loss`` reads, with one draw of noise per chunk from torch's generator of the CPU."""
    noise = torch.randn(*arrays.valid.shape[:2], chunk_noise).to(device, non_blocking=True)  # [B, J, Z]
    lesson = {
        name: torch.from_numpy(getattr(arrays, name)).to(device, non_blocking=True)
        for name in ("label", "weight", "subgoal_observation")
    }
    return chunks(arrays, noise), Lesson(**lesson)
