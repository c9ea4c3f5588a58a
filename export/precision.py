"""Precision: which numbers of a policy are rounded to what, and how far each may then be from the truth.

    precision   matrix products   cached keys, values   other state   a backend may be from PyTorch's float32
    float32     float32           float32               float32       1e-5, or ten times what float32 rounds
    float16     float16           float16               float32       2e-2, or ten times what float32 rounds

Only the products of layers with a ``product_dtype`` are float16: linear layers, and the scores and reads of attention.
Their inputs and weights are cast for the product alone, and its result is cast back. Everything delicate stays in
float32: norms, softmax, and the step size, decay and scan of Mamba.

What float32 itself does to a policy is measured at every export: PyTorch's float32 against its own float64, tensor by
tensor. The contract keeps it, and a policy that float32 cannot hold is refused.

ONNX Runtime on a CPU may compute float16 products in float32 and so proves nothing about their rounding. PyTorch really
rounds: `with_products_in` gives the model that a backend in float16 can be held against.

Where the rest is: `Precision` and the bound of rounding in ``contract``, since a robot reads them; the table of
tolerances and `Comparison` in ``runtime/sessions/replay``, since a robot's self-test needs them; the mechanism of
``product_dtype`` in ``models/layers``; how far trained policies were apart in ``benchmarks/rounding.py``.
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
    """A copy of a float32 model, its matrix products rounded as a precision says."""
    rounded = copy.deepcopy(model)
    if precision == "float16":
        set_product_dtype(rounded, torch.float16)
    return rounded


def rounding_of_float32(batch: int) -> Comparison:
    """A comparison, yet to be fed, of PyTorch's float32 with its own float64, for ``batch`` robots."""
    return Comparison(f"torch step float64, B={batch}", "torch step float32", MOST_ROUNDING)


def require_fine(rounding: Comparison) -> ParityFigure:
    """The figure of a `rounding_of_float32`.

    Raises:
        ParityError: float32 is too coarse for this policy.
    """
    try:
        return rounding.require()
    except ParityError as error:
        raise ParityError(
            f"float32 is too coarse for this policy; train it with another seed or a lower learning rate: {error}"
        ) from None
