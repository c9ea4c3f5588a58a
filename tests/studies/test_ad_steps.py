"""The other ways to compute a step of AD compute what the model computes: who times them times the same thing."""

from __future__ import annotations

import pytest
import torch

from dmh_edge.models.chunks import Chunks
from dmh_edge.models.sequence import ADTransformerConfig, SequencePolicy
from dmh_edge.studies.ad_steps import InPlace, Rereading, standing_in
from dmh_edge.tasks import find

TASK = find("darkroom").spec.model_copy(update={"horizon": 3})
WINDOW = 6  # two episodes


@pytest.fixture
def model() -> SequencePolicy:
    torch.manual_seed(0)
    model = SequencePolicy(ADTransformerConfig(width=16, layers=3, heads=2, window_episodes=2), TASK).eval()
    with torch.no_grad():
        model.head.weight.mul_(8)  # so that logits spread
    return model


@pytest.fixture
def world() -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    return [
        {
            "observation": torch.randint(9, (1, 2), generator=random).float(),
            "reward": torch.rand(1, generator=random) if tick else torch.zeros(1),
            "previous_action": torch.randint(5, (1,), generator=random) if tick else torch.zeros(1, dtype=torch.int64),
            "episode_start": torch.tensor([tick == 0]),
            "noise": torch.zeros(1, 5),
        }
        for tick in range(9 * WINDOW // 2)
    ]


@torch.inference_mode()
def test_a_ring_written_in_place_answers_as_the_exported_step_once_its_past_is_real(model, world):
    state = {spec.name: torch.from_numpy(spec.zeros(1)) for spec in model.model_spec().state}
    fast = standing_in(model, InPlace)
    spread = []
    for tick, inputs in enumerate(world):
        results = model.step("policy", inputs | state)
        state = {name: results[f"{name}_next"] for name in state}
        found = fast.step("policy", inputs)["logits"]
        if tick >= 3 * WINDOW:  # by then nothing that never was has left a trace in any of the three layers
            torch.testing.assert_close(found, results["logits"], atol=1e-5, rtol=1e-5)
            spread.append(found)
    assert torch.cat(spread).std(0).min() > 0.1  # answers that are all alike would prove nothing


@torch.inference_mode()
def test_a_context_that_is_read_anew_is_answered_as_in_training(model, world):
    slow = standing_in(model, Rereading)
    context = world[:WINDOW]
    for inputs in context:
        found = slow.step("policy", inputs)["logits"]

    def column(name: str, later: int) -> torch.Tensor:
        """What the model is told at a tick, as what follows the step before."""
        told = [inputs[name] for inputs in context[later:]]
        return torch.stack(told + told[:1] * later, 1).unsqueeze(2)  # [1, J, 1, ...]; the last is not read

    chunks = Chunks(
        observation=column("observation", 0),
        action=column("previous_action", 1),
        reward=column("reward", 1),
        valid=torch.ones(1, WINDOW, 1, dtype=torch.bool),
        episode_start=torch.tensor([[True] + [False] * (WINDOW - 1)]),
        target_return=torch.zeros(1, WINDOW),
    )
    noise = torch.zeros(1, WINDOW, 0)
    torch.testing.assert_close(found, model(chunks, noise)["answer"][:, -1, 0], atol=1e-5, rtol=1e-5)
