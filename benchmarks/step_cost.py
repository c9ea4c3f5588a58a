"""Time of a tick at the paper's sizes: ONNX Runtime with bound buffers, torch eager, and the matrix products alone.

    python benchmarks/step_cost.py

Everything runs on one CPU thread in one process. The sides run alternately, one chunk of ticks each, so that a slow
moment of the machine affects all of them; the ratios are the result, not the absolute times. `hot` runs ticks back to
back, `paced` runs one tick per 20 ms, as a 50 Hz loop does. The last table compares a session that has run a million
ticks with a new one, also alternately.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are imported

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dmh_edge.bench.untrained import PAPER, untrained
from dmh_edge.export.rollout import World, random_world
from dmh_edge.models.dmh import DMH
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy

CHUNK = PAPER.chunk
PERIOD_S = 0.02
Step = Callable[[int], Any]  # runs one tick


def long_episode(policy: Policy, ticks: int) -> World:
    """Return random inputs in which only the first tick begins an episode, so that memory is due once per chunk."""
    world = random_world(policy.contract.task, policy.contract.model, ticks, ticks, 1)
    world["episode_start"][1:] = False
    return world


def torch_eager(model: DMH, policy: Policy, world: World) -> Step:
    """Return a step of the model in PyTorch: state stays in tensors, and memory runs only when it is due."""
    spec = policy.contract.model
    tensors = {name: torch.from_numpy(array) for name, array in world.items()}
    state = {tensor.name: torch.from_numpy(tensor.zeros(1)) for tensor in spec.state}

    @torch.inference_mode()
    def step(tick: int) -> Any:
        inputs = {name: column[tick] for name, column in tensors.items()} | state
        if tick % CHUNK == 0:
            results = model.step("memory", inputs)
            state.update({name.removesuffix("_next"): tensor for name, tensor in results.items()})
            inputs.update(state)
        results = model.step("actor", inputs)
        state.update({n.removesuffix("_next"): tensor for n, tensor in results.items() if n.endswith("_next")})
        return results["action"].item()

    return step


def onnx_runtime(session: OrtSession, world: World) -> Step:
    """Return a step of the session as the loop uses it: copy the inputs, run, check for finite values, commit."""

    def step(tick: int) -> Any:
        action = session.step({name: column[tick] for name, column in world.items()})["action"][0]
        assert session.proposal_is_finite()
        session.commit()
        return action

    return step


def bare_products(policy: Policy) -> Step:
    """Return a step that computes only the matrix products of the graphs, in numpy."""
    products: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    random = np.random.default_rng(0)
    for graph in policy.contract.model.graphs:
        proto = onnx.shape_inference.infer_shapes(onnx.load(str(policy.folder / graph.file)))
        values = [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]
        shapes = {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in values}
        shapes |= {weight.name: list(weight.dims) for weight in proto.graph.initializer}
        products[graph.name] = []
        for node in proto.graph.node:
            if node.op_type in {"MatMul", "Gemm"}:
                left, right = (random.random(shapes[name], np.float32) for name in node.input[:2])
                if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
                    right = right.T
                products[graph.name].append((left, right))

    def step(tick: int) -> Any:
        for left, right in (products["memory"] if tick % CHUNK == 0 else []) + products["actor"]:
            left @ right

    return step


def measure(sides: dict[str, Step], chunks: int, paced: bool) -> dict[str, NDArray[np.float64]]:
    """Return the times of each side's ticks, ``[chunks, CHUNK]`` in seconds; the sides alternate after each chunk."""
    seconds = {name: np.zeros((chunks, CHUNK)) for name in sides}
    for chunk in track(
        range(chunks), "paced at 50 Hz" if paced else "hot", console=Console(stderr=True), transient=True
    ):
        for name, step in sides.items():
            slot = time.monotonic()
            for tick in range(CHUNK):
                if paced:
                    slot += PERIOD_S
                    time.sleep(max(0.0, slot - time.monotonic()))
                began = time.perf_counter()
                step(chunk * CHUNK + tick)
                seconds[name][chunk, tick] = time.perf_counter() - began
    return seconds


def report(title: str, seconds: dict[str, NDArray[np.float64]], base: str) -> Table:
    """Return a table of medians in microseconds, and ratios to ``base``; the mean over a chunk is the cost per tick."""
    table = Table(title=title, title_justify="left")
    table.add_column("side")
    for heading in ("boundary tick, us", "actor tick, us", "mean over a chunk, us", f"ratio to {base}"):
        table.add_column(heading, justify="right")
    means = {name: np.median(array.mean(1)) for name, array in seconds.items()}
    for name, array in seconds.items():
        boundary, actor = np.median(array[:, 0]) * 1e6, np.median(array[:, 1:]) * 1e6
        ratio = means[name] / means[base]
        table.add_row(name, f"{boundary:.0f}", f"{actor:.0f}", f"{means[name] * 1e6:.0f}", f"{ratio:.3f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=200, help="number of chunks of 20 ticks per side, hot")
    parser.add_argument(
        "--paced-chunks", type=int, default=20, help="number of chunks of 20 ticks per side, paced at 50 Hz"
    )
    parser.add_argument("--age", type=int, default=1_000_000, help="number of ticks that the old session has run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        model, policy = untrained("paper", PAPER, Path(folder))
        world = long_episode(policy, CHUNK * max(arguments.chunks, arguments.paced_chunks))
        sides = {
            "torch eager": torch_eager(model, policy, world),
            "ONNX Runtime": onnx_runtime(OrtSession(policy), world),
            "numpy, products alone": bare_products(policy),
        }
        measure(sides, 5, paced=False)
        console.print(report("hot", measure(sides, arguments.chunks, paced=False), "torch eager"))
        console.print(report("paced at 50 Hz", measure(sides, arguments.paced_chunks, paced=True), "torch eager"))

        old = onnx_runtime(OrtSession(policy), world)
        span = len(world["reward"])
        for tick in track(range(arguments.age), "ageing", console=Console(stderr=True), transient=True):
            old(CHUNK + tick % (span - CHUNK))  # never the first tick again: one endless episode
        ages = {"fresh": onnx_runtime(OrtSession(policy), world), f"after {arguments.age:,} ticks": old}
        measure(ages, 5, paced=False)
        console.print(report("age", measure(ages, arguments.chunks, paced=False), "fresh"))


if __name__ == "__main__":
    main()
