"""Parity of a trained model with its step form, and of its step form with every backend.

    float64            forward over whole sequences  =  step, tick by tick       two forms of one model
    float64, float32   step by PyTorch               =  step by PyTorch          the effect of rounding
    float32            step by PyTorch               =  ONNX Runtime, TensorRT   one form on other backends

All comparisons are free-running: each side carries its own state over the whole rollout, for one robot and for three
robots whose episodes are out of phase. The last two compare every state tensor and every output at every tick. If the
second finds a tensor whose rounding error is too large for the table of tolerances, the third allows ten times that
error for the tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from dmh_edge.contract import ParityFigure, PolicyContract
from dmh_edge.data import batches
from dmh_edge.data.ticks import chunks_of_ticks, longest_episode
from dmh_edge.export.precision import require_fine, rounding_of_float32
from dmh_edge.export.rollout import World, random_world
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.progress import Progress, silent
from dmh_edge.runtime.sessions.replay import TOLERANCES, Comparison
from dmh_edge.runtime.sessions.session import Arrays, Session

BATCHES = (1, 3)


def check_step(
    model: PolicyModel, contract: PolicyContract, ticks: int, progress: Progress = silent
) -> tuple[list[ParityFigure], dict[str, float]]:
    """Check that forward = step in float64 = step in float32, over ``ticks`` ticks, for each of `BATCHES`.

    Returns:
        the figures, and the largest rounding error of each tensor in float32.

    Raises:
        ParityError: the forms differ by more than the tolerance, or float32 is too coarse for this policy.
    """
    double = copy.deepcopy(model).double().cpu().eval()
    figures: list[ParityFigure] = []
    worst: dict[str, float] = {}
    for batch in BATCHES:
        world = random_world(contract.task, contract.model, model.rollout.longest_episode, ticks, batch)
        expected = _forward(double, world)
        step, single = TorchSession(double, contract, batch), TorchSession(model, contract, batch)
        forms = Comparison(f"torch forward float64, B={batch}", "torch step float64", TOLERANCES["float64"])
        rounding = rounding_of_float32(batch)
        for tick in range(ticks):
            inputs = {name: column[tick] for name, column in world.items()}
            exact, rounded = _turn(step, inputs), _turn(single, inputs)
            forms.tick(tick, {name: column[tick] for name, column in expected.items()}, exact, inputs.get("noise"))
            rounding.tick(tick, exact, rounded, inputs.get("noise"))
            progress(forms.reference, tick + 1, ticks)
        figures.append(forms.require())
        figures.append(require_fine(rounding))
        worst = {name: max(error, worst.get(name, 0.0)) for name, error in rounding.errors.items()}
    return figures, worst


def check_backend(
    model: PolicyModel,
    contract: PolicyContract,
    open_session: Callable[[int], Session],
    ticks: int,
    progress: Progress = silent,
) -> list[ParityFigure]:
    """Check that step by PyTorch in float32 = a backend, over ``ticks`` ticks, for each of `BATCHES`.

    Args:
        model: the model in float32.
        contract: contract of the exported policy; its precision and rounding determine the tolerance.
        open_session: opens the backend for a given number of robots.
        ticks: length of the rollout.
        progress: called after every tick, with the ticks done.

    Raises:
        ParityError: the two differ by more than the tolerance.
    """
    figures = []
    for batch in BATCHES:
        world = random_world(contract.task, contract.model, model.rollout.longest_episode, ticks, batch)
        reference = TorchSession(model, contract, batch)
        candidate = open_session(batch)
        comparison = Comparison.of_backend(
            contract, f"torch step float32, B={batch}", f"{candidate.backend} {contract.precision}"
        )
        try:
            for tick in range(ticks):
                inputs = {name: column[tick] for name, column in world.items()}
                comparison.tick(tick, _turn(reference, inputs), _turn(candidate, inputs), inputs.get("noise"))
                progress(f"{comparison.candidate}, B={batch}", tick + 1, ticks)
        finally:
            candidate.close()
        figures.append(comparison.require())
    return figures


def _turn(session: Session, inputs: Arrays) -> Arrays:
    """Compute and commit one tick, and return every output and the state after it."""
    outputs = dict(session.step(inputs))
    session.commit()
    return outputs | session.state()


def _forward(model: PolicyModel, world: World) -> World:
    """Return what `step` must reproduce, ``[T, B, ...]``: logits or action, and the sub-goal if the model has one."""
    starts = world["episode_start"]
    laid_out = chunks_of_ticks(world, model.chunk_steps(longest_episode(starts)))
    count = model.chunk_noise
    drawn = laid_out.noise[..., :count] if count else np.zeros((*laid_out.chunks.valid.shape[:2], 0))
    chunks = batches.tensors(laid_out.chunks, torch.device("cpu"), torch.float64)
    with torch.inference_mode():
        read = model(chunks, torch.from_numpy(drawn).double())
        answer = read.pop("answer")  # [B, J, c, A]
        answer = answer if model.codec.discrete else model.codec.decode(answer)
    row = np.arange(starts.shape[1])
    expected = {name: tensor.numpy()[row, laid_out.chunk] for name, tensor in read.items()}
    name = "logits" if model.codec.discrete else "action"
    return expected | {name: answer.numpy()[row, laid_out.chunk, laid_out.slot]}
