from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dmh_edge.contract import PolicyContract
from dmh_edge.data.ticks import longest_episode
from dmh_edge.errors import ParityError
from dmh_edge.export.parity import check_backend, check_step
from dmh_edge.export.pipeline import draft_contract
from dmh_edge.export.rollout import random_world
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.backbones import Attentive
from dmh_edge.models.dmh import DMH
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.models.sequence import (
    ADMambaConfig,
    ADTransformerConfig,
    BCConfig,
    DMConfig,
    DTConfig,
    SequenceConfig,
)


def test_forward_equals_step(model: PolicyModel, contract: PolicyContract) -> None:
    figures, _ = check_step(model, contract, ticks=120)
    assert [figure.ticks for figure in figures] == [120] * 4
    forms = [figure for figure in figures if figure.candidate == "torch step float64"]
    assert len(forms) == 2
    assert all(figure.worst_error < 1e-10 for figure in forms)


@pytest.mark.parametrize("kind", ["DISCRETE", "CONTINUOUS"])
@pytest.mark.parametrize(
    "config",
    [
        DMConfig(width=8, layers=2, state_size=4),
        DTConfig(width=8, layers=2, heads=2, window=4),
        ADMambaConfig(width=8, layers=2, state_size=4),
        ADTransformerConfig(width=8, layers=2, heads=2, window_episodes=1),
        ADTransformerConfig(width=8, layers=2, heads=2, window_episodes=3),
        BCConfig(width=8, layers=2),
    ],
    ids=lambda config: config.kind + str(getattr(config, "window_episodes", "")),
)
def test_forward_equals_step_for_every_rival_also_when_its_window_has_gone_round(
    config: SequenceConfig, kind: str, make: ModuleType
) -> None:
    task = getattr(make, kind)
    checkpoint = make.tiny_checkpoint(task, config)
    model = checkpoint.build()
    rollout = model.rollout
    contract = draft_contract(checkpoint, Path("run"), config.kind)
    figures, _ = check_step(model, contract, rollout.ticks)
    assert all(figure.worst_error < 1e-12 for figure in figures if figure.candidate == "torch step float64")
    if isinstance(model.backbone, Attentive):
        world = random_world(task, contract.model, rollout.longest_episode, rollout.ticks, 1)
        circle = 2 * model.backbone.steps
        around = longest_episode(world["episode_start"]) if model.backbone.episodes == 1 else rollout.ticks
        assert around > circle
        assert world["episode_start"].sum() > model.backbone.episodes


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


def test_what_float32_does_to_each_tensor_is_measured_against_float64(
    model: PolicyModel, contract: PolicyContract
) -> None:
    figures, found = check_step(model, contract, ticks=40)
    assert 1e-10 < found["memory_ssm"] < 1e-6
    assert found["chunk_step"] == 0  # whole numbers do not round
    by_figures = max(figure.worst_error for figure in figures if figure.candidate == "torch step float32")
    assert max(found.values()) == by_figures


def test_what_rounds_coarsely_may_be_as_coarse_on_a_backend_and_no_coarser(
    model: PolicyModel, contract: PolicyContract
) -> None:
    coarse, other = copy.deepcopy(model), copy.deepcopy(model)
    _coarsen(coarse, 100)
    _coarsen(other, 100)
    with torch.no_grad():  # another rounding of the same
        other.memory.observation_token.bias -= 1e-3  # type: ignore[operator, union-attr]
    _, found = check_step(coarse, contract, ticks=40)
    allowing = contract.model_copy(update={"rounding": found})
    check_backend(coarse, allowing, lambda batch: TorchSession(other, allowing, batch), ticks=40)
    with pytest.raises(ParityError, match="allowed 1e-05"):
        check_backend(coarse, contract, lambda batch: TorchSession(other, contract, batch), ticks=40)


def test_a_policy_that_float32_cannot_hold_is_refused(model: PolicyModel, contract: PolicyContract) -> None:
    hopeless = copy.deepcopy(model)
    _coarsen(hopeless, 1e6)
    with pytest.raises(ParityError, match=r"float32 is too coarse for this policy.*: torch step float32"):
        check_step(hopeless, contract, ticks=40)


def _coarsen(model: PolicyModel, offset: float) -> None:
    """Add to every channel of a token what its norm takes away again: nothing remains of it but rounding."""
    with torch.no_grad():
        model.memory.observation_token.bias += offset  # type: ignore[operator, union-attr]


def test_progress_is_told(model: PolicyModel, contract: PolicyContract) -> None:
    seen = []
    check_step(model, contract, ticks=3, progress=lambda name, done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2
