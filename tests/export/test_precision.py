"""Float16 by PyTorch, which really rounds, within float16's tolerance and beyond float32's."""

from __future__ import annotations

import pytest
import torch

from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ParityError
from dmh_edge.export.parity import check_backend
from dmh_edge.export.precision import with_products_in
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.layers import Linear
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.replay import TOLERANCES


def test_what_float16_rounds_is_within_its_tolerance_and_would_not_pass_for_float32(
    model: PolicyModel, contract: PolicyContract
) -> None:
    rounded = with_products_in("float16", model)
    half = contract.model_copy(update={"precision": "float16"})
    figures = check_backend(model, half, lambda batch: TorchSession(rounded, half, batch), ticks=40)
    for figure in figures:
        assert figure.tolerance == TOLERANCES["float16"]
        assert TOLERANCES["float32"] < figure.worst_error < TOLERANCES["float16"]
    with pytest.raises(ParityError, match="allowed 1e-05"):
        check_backend(model, contract, lambda batch: TorchSession(rounded, contract, batch), ticks=40)


def test_the_model_that_was_copied_is_as_it_was(model: PolicyModel) -> None:
    def types_of(policy: PolicyModel) -> set[torch.dtype | None]:
        return {layer.product_dtype for layer in policy.modules() if isinstance(layer, Linear)}

    assert types_of(with_products_in("float16", model)) == {torch.float16}
    assert types_of(with_products_in("float32", model)) == types_of(model) == {None}
