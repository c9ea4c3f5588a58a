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
from numpy.typing import NDArray

from dmh_edge.contract import ParityFigure, PolicyContract
from dmh_edge.data.batches import chunks
from dmh_edge.data.ticks import chunks_of_ticks
from dmh_edge.export.rollout import World, random_world
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.dmh import DMH
from dmh_edge.runtime.replay import TOLERANCES, Comparison
from dmh_edge.runtime.session import Session

BATCHES = (1, 3)
Progress = Callable[[str, int, int], None]  # (what is compared, ticks done, ticks in all)


def silent(what: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


def check_step(
    model: DMH, contract: PolicyContract, ticks: int, seed: int = 0, progress: Progress = silent
) -> list[ParityFigure]:
    """forward = step in float64, over ``ticks`` ticks, for each of `BATCHES`.

    Raises:
        ParityError: they differ by more than the tolerance.
    """
    double = copy.deepcopy(model).double().cpu().eval()
    figures = []
    for batch in BATCHES:
        world = random_world(contract.task, contract.model, ticks, batch, seed)
        expected_subgoal, expected_answer = _forward(double, world)  # [T, B, Z], [T, B, A]
        session = TorchSession(double, contract, batch)
        comparison = Comparison(f"torch forward float64, B={batch}", "torch step float64", TOLERANCES["float64"])
        answer_name = "logits" if double.codec.discrete else "action"
        for tick in range(ticks):
            inputs = {name: column[tick] for name, column in world.items()}
            outputs = session.step(inputs)
            session.commit()
            expected = {"subgoal": expected_subgoal[tick], answer_name: expected_answer[tick]}
            comparison.tick(
                tick,
                expected,
                {"subgoal": session.state()["subgoal"], answer_name: outputs[answer_name]},
                inputs["noise"],
            )
            progress(comparison.reference, tick + 1, ticks)
        figures.append(comparison.require())
    return figures


def check_backend(
    model: DMH,
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
        world = random_world(contract.task, contract.model, ticks, batch, seed)
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
                comparison.tick(tick, expected | reference.state(), got | candidate.state(), inputs["noise"])
                progress(f"{comparison.candidate}, B={batch}", tick + 1, ticks)
        finally:
            candidate.close()
        figures.append(comparison.require())
    return figures


def _forward(model: DMH, world: World) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sub-goal ``[T, B, Z]`` and logits or action ``[T, B, A]`` of every tick, by one pass over the whole sequence."""
    laid_out = chunks_of_ticks(world, model.config.chunk)
    noise = torch.from_numpy(laid_out.noise[..., : model.config.subgoal_size]).double()
    with torch.inference_mode():
        subgoal, answer = model(chunks(laid_out.chunks, noise))  # [B, J, Z], [B, J, c, A]
        answer = answer if model.codec.discrete else model.codec.decode(answer)
    row = np.arange(laid_out.chunk.shape[1])
    return subgoal.numpy()[row, laid_out.chunk], answer.numpy()[row, laid_out.chunk, laid_out.slot]
