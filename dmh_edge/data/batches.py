"""From numpy to torch: contexts as tensors, and their noise."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from dmh_edge.models.chunks import Chunks, LabelledChunks


@overload
def tensors(
    arrays: LabelledChunks[NDArray[Any]], device: torch.device, dtype: torch.dtype
) -> LabelledChunks[Tensor]: ...
@overload
def tensors(arrays: Chunks[NDArray[Any]], device: torch.device, dtype: torch.dtype) -> Chunks[Tensor]: ...
def tensors(arrays: Chunks[NDArray[Any]], device: torch.device, dtype: torch.dtype) -> Chunks[Tensor]:
    """Return the same chunks as tensors on a device.

    Args:
        arrays: the contexts.
        device: device of the model.
        dtype: element type of the floating-point columns; other columns keep their type.
    """

    def moved(array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array).to(device, non_blocking=True)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    kind: type[Chunks[Any]] = type(arrays)
    return kind(**{field.name: moved(getattr(arrays, field.name)) for field in fields(arrays)})


def draw_noise(arrays: Chunks[NDArray[Any]], size: int, device: torch.device) -> Tensor:
    """Draw standard normal noise for each chunk, ``[B, J, size]``, from torch's random generator of the CPU."""
    return torch.randn(*arrays.valid.shape[:2], size).to(device, non_blocking=True)
