"""Parity of a trained model with its step form, and of its step form with every backend.

    float64   forward over whole sequences  =  step, tick by tick       two forms of one model
    float32   step by PyTorch               =  ONNX Runtime, TensorRT   one form on other backends

Both are free-running: each side lives on its own state over the whole rollout, for one robot and for three whose
episodes are out of phase. The second compares every state tensor and every output at every tick.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from dmh_edge.contract import ParityFigure, PolicyContract
from dmh_edge.data.batches import chunks
from dmh_edge.data.ticks import chunks_of_ticks, longest_episode
from dmh_edge.export.rollout import World, random_world
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.policy import PolicyModel
from dmh_edge.runtime.replay import TOLERANCES, Comparison
from dmh_edge.runtime.sessions.session import Session

BATCHES = (1, 3)
Progress = Callable[[str, int, int], None]  # (what is compared, ticks done, ticks in all)


def silent(what: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


def check_step(
    model: PolicyModel, contract: PolicyContract, ticks: int, seed: int = 0, progress: Progress = silent
) -> list[ParityFigure]:
    """forward = step in float64, over ``ticks`` ticks, for each of `BATCHES`.

    Raises:
        ParityError: they differ by more than the tolerance.
    """
    double = copy.deepcopy(model).double().cpu().eval()
    figures = []
    for batch in BATCHES:
        world = random_world(contract.task, contract.model, model.rollout.longest_episode, ticks, batch, seed)
        expected = _forward(double, world)
        session = TorchSession(double, contract, batch)
        comparison = Comparison(f"torch forward float64, B={batch}", "torch step float64", TOLERANCES["float64"])
        for tick in range(ticks):
            inputs = {name: column[tick] for name, column in world.items()}
            outputs = session.step(inputs)
            session.commit()
            now = {name: column[tick] for name, column in expected.items()}
            comparison.tick(tick, now, {**session.state(), **outputs}, inputs.get("noise"))
            progress(comparison.reference, tick + 1, ticks)
        figures.append(comparison.require())
    return figures


def check_backend(
    model: PolicyModel,
    contract: PolicyContract,
    open_session: Callable[[int], Session],
    ticks: int,
    seed: int = 0,
    progress: Progress = silent,
) -> list[ParityFigure]:
    """step by PyTorch in float32 = a backend, over ``ticks`` ticks, for each of `BATCHES`.

    Args:
        model: float32.
        contract: of the exported policy; its precision chooses the tolerance.
        open_session: opens the backend for a number of robots.
        ticks: length of the rollout.
        seed: of the rollout.
        progress: told after every tick.

    Raises:
        ParityError: they differ by more than the tolerance.
    """
    figures = []
    for batch in BATCHES:
        world = random_world(contract.task, contract.model, model.rollout.longest_episode, ticks, batch, seed)
        reference = TorchSession(model, contract, batch)
        candidate = open_session(batch)
        comparison = Comparison(
            f"torch step float32, B={batch}",
            f"{candidate.backend} {contract.precision}",
            TOLERANCES[contract.precision],
        )
        try:
            for tick in range(ticks):
                inputs = {name: column[tick] for name, column in world.items()}
                expected, got = dict(reference.step(inputs)), dict(candidate.step(inputs))
                reference.commit()
                candidate.commit()
                comparison.tick(tick, expected | reference.state(), got | candidate.state(), inputs.get("noise"))
                progress(f"{comparison.candidate}, B={batch}", tick + 1, ticks)
        finally:
            candidate.close()
        figures.append(comparison.require())
    return figures


def _forward(model: PolicyModel, world: World) -> World:
    """What `step` must repeat, ``[T, B, ...]``: logits or action, and the sub-goal where there is one."""
    starts = world["episode_start"]
    laid_out = chunks_of_ticks(world, model.chunk_steps(longest_episode(starts)))
    count = model.chunk_noise
    drawn = laid_out.noise[..., :count] if count else np.zeros((*laid_out.chunks.valid.shape[:2], 0))
    with torch.inference_mode():
        read = model(chunks(laid_out.chunks, torch.from_numpy(drawn).double()))
        answer = read.pop("answer")  # [B, J, c, A]
        answer = answer if model.codec.discrete else model.codec.decode(answer)
    row = np.arange(starts.shape[1])
    expected = {name: tensor.numpy()[row, laid_out.chunk] for name, tensor in read.items()}
    name = "logits" if model.codec.discrete else "action"
    return expected | {name: answer.numpy()[row, laid_out.chunk, laid_out.slot]}
