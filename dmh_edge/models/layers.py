"""Layers that all models share: a linear map whose matrix product can be float16, and a root-mean-square norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """``torch.nn.Linear`` whose matrix product can have another element type than its input and output.

    Attributes:
        product_dtype: element type of the matrix product. None: the type of the weights. float16: input and weights
            are cast for the product only; everything around it stays in float32.
    """

    product_dtype: torch.dtype | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in torch)
        """``[..., in] -> [..., out]``."""
        if self.product_dtype is None:
            return super().forward(input)
        product = nn.functional.linear(input.to(self.product_dtype), self.weight.to(self.product_dtype))
        product = product.to(input.dtype)
        bias: Tensor | None = self.bias  # torch's stubs declare that it always exists
        return product if bias is None else product + bias


#: Added to the mean square, so that the norm of a zero vector is finite.
_EPSILON = 1e-5


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-5) * weight, over the last axis, written with operators that every runtime supports.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., width] -> [..., width]``."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON) * self.weight


def set_product_dtype(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Set the element type of the matrix products in every layer of ``model`` that has a ``product_dtype``."""
    for module in model.modules():
        if hasattr(module, "product_dtype"):
            setattr(module, "product_dtype", dtype)  # noqa: B010 (torch's stubs assume a tensor)
