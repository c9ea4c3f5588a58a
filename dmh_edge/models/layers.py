"""Layers that all models share: a linear map whose matrix product may be float16, and a root-mean-square norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """``torch.nn.Linear``, with the element type of its matrix product set apart from that of its input and output.

    Attributes:
        product_dtype: None for that of the weights; float16 casts input and weights for the product alone, so that
            whatever surrounds it stays in float32.
    """

    product_dtype: torch.dtype | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in torch)
        """``[..., in] -> [..., out]``."""
        if self.product_dtype is None:
            return super().forward(input)
        product = nn.functional.linear(input.to(self.product_dtype), self.weight.to(self.product_dtype))
        product = product.to(input.dtype)
        bias: Tensor | None = self.bias  # declared as always there in torch's stubs
        return product if bias is None else product + bias


#: Keeps the norm of a zero vector finite.
_EPSILON = 1e-5


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-5) * weight, over the last axis, from operators that every runtime knows.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., width] -> [..., width]``."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON) * self.weight


def set_product_dtype(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Choose the element type of matrix products in every layer of ``model`` that leaves the choice open."""
    for module in model.modules():
        if hasattr(module, "product_dtype"):
            setattr(module, "product_dtype", dtype)  # noqa: B010 (torch's stubs take it for a tensor)
