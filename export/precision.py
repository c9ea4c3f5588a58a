"""Precision: which numbers of a policy have which element type, and how large the error of a backend can be.

    precision   matrix products   cached keys, values   other state   tolerance against PyTorch's float32
    float32     float32           float32               float32       1e-5, or ten times float32's rounding error
    float16     float16           float16               float32       2e-2, or ten times float32's rounding error

Only the products of layers with a ``product_dtype`` are float16: linear layers, and the scores and weighted sums of
attention. Their inputs and weights are cast for the product only, and its result is cast back. Operations that are
sensitive to rounding stay in float32: norms, softmax, and the step size, decay and scan of Mamba.

The rounding error of float32 itself is measured at every export: PyTorch's float32 against its own float64, tensor by
tensor. The contract contains the result, and a policy with too large rounding errors is refused.

ONNX Runtime on a CPU can compute float16 products in float32, and so it shows nothing about their rounding. PyTorch
really rounds: `with_products_in` returns the model that a backend in float16 can be compared with.

The other parts are elsewhere. `Precision` and the bound on rounding are in ``contract``, because a robot reads them.
The table of tolerances and `Comparison` are in ``runtime/sessions/replay``, because a robot's self-test needs them.
``product_dtype`` is applied in ``models/layers``. ``benchmarks/rounding.py`` measures the errors of trained policies.
"""

from __future__ import annotations

import copy

import torch

from dmh_edge.contract import MOST_ROUNDING, ParityFigure, Precision
from dmh_edge.errors import ParityError
from dmh_edge.models.layers import set_product_dtype
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.replay import Comparison


def with_products_in(precision: Precision, model: PolicyModel) -> PolicyModel:
    """Return a copy of a float32 model whose matrix products are computed in a precision."""
    rounded = copy.deepcopy(model)
    if precision == "float16":
        set_product_dtype(rounded, torch.float16)
    return rounded


def rounding_of_float32(batch: int) -> Comparison:
    """Return an empty comparison of PyTorch's float32 with its own float64, for ``batch`` robots."""
    return Comparison(f"torch step float64, B={batch}", "torch step float32", MOST_ROUNDING)


def require_fine(rounding: Comparison) -> ParityFigure:
    """Return the figure of a finished comparison from `rounding_of_float32`.

    Raises:
        ParityError: float32 is too coarse for this policy.
    """
    try:
        return rounding.require()
    except ParityError as error:
        raise ParityError(
            f"float32 is too coarse for this policy; train it with another seed or a lower learning rate: {error}"
        ) from None
