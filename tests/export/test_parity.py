from __future__ import annotations

import copy

import pytest
import torch

from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ParityError
from dmh_edge.export.parity import check_backend, check_step
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.dmh import DMH
from dmh_edge.models.policy import PolicyModel


def test_forward_equals_step(model: PolicyModel, contract: PolicyContract) -> None:
    figures = check_step(model, contract, ticks=120)
    assert [figure.ticks for figure in figures] == [120, 120]
    assert all(figure.worst_error < 1e-10 for figure in figures)


def test_a_step_that_is_not_forward_is_found(
    model: PolicyModel, contract: PolicyContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DMH._step_actor

    def forgets_the_reward(self: DMH, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return original(self, tensors | {"reward": torch.zeros_like(tensors["reward"])})

    monkeypatch.setattr(DMH, "_step_actor", forgets_the_reward)
    with pytest.raises(ParityError, match=r"torch step float64 .* first at tick \d+, tensor (logits|action|subgoal)"):
        check_step(model, contract, ticks=40)


def test_a_backend_with_other_weights_is_found_by_tick_and_tensor(model: PolicyModel, contract: PolicyContract) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.memory.mamba.blocks[0].D += 1e-3  # type: ignore[operator]
    with pytest.raises(ParityError, match=r"first at tick \d+, tensor subgoal"):
        check_backend(model, contract, lambda batch: TorchSession(other, contract, batch), ticks=40)


def test_a_backend_is_compared_in_every_tensor_of_the_state(model: PolicyModel, contract: PolicyContract) -> None:
    class Forgetful(TorchSession):
        def state(self):  # type: ignore[no-untyped-def]
            return super().state() | {"memory_conv": super().state()["memory_conv"] + 1e-3}

    with pytest.raises(ParityError, match="tensor memory_conv"):
        check_backend(model, contract, lambda batch: Forgetful(model, contract, batch), ticks=10)


def test_progress_is_told(model: PolicyModel, contract: PolicyContract) -> None:
    seen = []
    check_step(model, contract, ticks=3, progress=lambda name, done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2
