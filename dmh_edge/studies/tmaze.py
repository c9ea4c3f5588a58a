"""How far does a memory reach, and what does reaching cost: in T-maze, a sign must be remembered for L steps."""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dmh_edge import tasks
from dmh_edge.config import RunConfig, load
from dmh_edge.evaluate import Interval, intervals
from dmh_edge.models.build import build
from dmh_edge.plots import Line, Panel
from dmh_edge.runtime.ort import OrtSession
from dmh_edge.schema import Spec
from dmh_edge.studies import engines, paper
from dmh_edge.studies.cell import Cell, Outcome, Trial
from dmh_edge.studies.page import Page, table
from dmh_edge.studies.stopwatch import Side, Spread, Times, endless_episode, in_turns
from dmh_edge.studies.study import FULL, SMOKE, Budget, Study, Workshop, settings
from dmh_edge.train import train

_SYSTEMS = ("dm-h", "dm", "dt")
#: Those whose state has one size: weights learned at one length are the same policy at another.
_CONSTANT = ("dm-h", "dm")
_LENGTHS = {
    "smoke": (4, 8),
    "cpu": (100, 1_000, 5_000, 20_000, 100_000),  # the first is none of the paper's: there training is cheap
    "full": (1_000, 5_000, 20_000, 100_000),
}
#: Lengths that each system is trained at; the longest weights of those with a constant state serve for what is longer.
_TRAINED: dict[Budget, dict[str, tuple[int, ...]]] = {
    "smoke": {"dm-h": (4,), "dm": (4,), "dt": (4,)},
    "cpu": {"dm-h": (100, 1_000), "dm": (100, 1_000), "dt": (100, 1_000)},
    "full": {"dm-h": (1_000, 5_000, 20_000, 100_000), "dm": (1_000, 5_000, 20_000), "dt": (1_000, 5_000)},
}
_SEEDS = {"smoke": 1, "cpu": 3, "full": 3}
_EPISODES = {"smoke": 1, "cpu": 2, "full": 20}
_ROUNDS = {"smoke": 2, "cpu": 20, "full": 100}
#: Steps of a turn, and the length from which those of dt are few, as each of them is long.
_MANY, _FEW, _LONG = 20, 4, 5_000
#: Lengths at which an update of what is not trained is timed, to say what training it would take.
_PROBED = {"smoke": (4, 8), "cpu": (1_000, 5_000), "full": (1_000, 5_000)}

_ASKED = (
    "Success rate - the share of episodes that end in the arm which the sign showed, L steps before - and, of the "
    "exported graphs, the size of the state and the time per step. Policies run through the exported graphs, without "
    "noise: among so many steps, one sampled badly is enough to be late."
)
_ABOUT_SUCCESS = (
    "Means and 95% intervals, bootstrapped over training seeds and signs. A policy whose state has one size is the "
    "same at every length: where it was not trained, the weights of the longest training serve. The window of dt is "
    "the episode, and its positions are fractions of it, so that its weights mean something else at another length."
)
_ABOUT_TRAINING = (
    "The power law through both is a lower bound at longer lengths, where what grows with the square weighs more."
)
_ABOUT_TIMES = (
    "ONNX Runtime, one thread, all systems in turns; medians over rounds, with quartiles. A turn of DM-H is a chunk or "
    "more, in which its memory's share is due. Weights are those that training would start from."
)


class AtLength(Spec):
    """What a step is like at one memory length."""

    length: int
    """L."""
    state_bytes: dict[str, int]
    """Of the state of one robot, by system."""
    sides: list[Times]
    """Of a step, by system."""


class Probe(Spec):
    """What one update takes."""

    length: int
    """L."""
    seconds: float
    """Of the update, on one thread."""
    gigabytes: float
    """By which the process grew."""


class Costs(Spec):
    """What was measured."""

    steps: list[AtLength]
    """By length."""
    probes: list[Probe]
    """Of updates of ``dt``."""


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train where it is feasible, try at every length, and time a step at every length."""
    cells = [cell for model in _SYSTEMS for cell in _cells(budget, model)]
    outcomes = workshop.finish(cells)
    costs = workshop.kept(f"tmaze-{budget}", Costs, lambda: _measure(budget, workshop.say))
    lengths = _LENGTHS[budget]
    success = {(model, length): _success(outcomes, model, length) for model in _SYSTEMS for length in lengths}

    def rates() -> Iterator[tuple[str, ...]]:
        for length in lengths:
            yield f"{length:,}", *(_rate(budget, success[model, length], model, length, costs) for model in _SYSTEMS)

    probed = " and ".join(f"{length:,}" for length in _PROBED[budget])

    def papers() -> Iterator[tuple[str, ...]]:
        for length, figures in paper.TMAZE.items():
            yield f"{length:,}", *("out of memory" if figure is None else f"{figure:g}" for figure in figures.values())

    def sizes() -> Iterator[tuple[str, ...]]:
        for at in costs.steps:
            yield f"{at.length:,}", *(f"{at.state_bytes[model] / 1e6:,.3f}" for model in _SYSTEMS)

    def times() -> Iterator[tuple[str, ...]]:
        for at in costs.steps:
            yield f"{at.length:,}", *(str(_milliseconds(side)) for side in at.sides)

    return Page(
        title="T-maze: how far a memory reaches, and what it costs",
        asked=f"{_ASKED} {_SEEDS[budget]} training seeds, both signs, {_EPISODES[budget]} episodes in a row. "
        f"{_training(cells)}.",
        verdicts=list(_verdicts(costs, success)),
        body=[
            "## Success rate",
            table(("L", *_SYSTEMS), rates()),
            _ABOUT_SUCCESS,
            f"What training would take was measured in one update at L = {probed}. {_ABOUT_TRAINING}",
            "The paper, printed in its figure:",
            table(("L", *_SYSTEMS), papers()),
            "## State of one robot, MB",
            table(("L", *_SYSTEMS), sizes()),
            "## Time per step, ms",
            table(("L", *_SYSTEMS), times()),
            _ABOUT_TIMES,
        ],
        pictures={
            "tmaze": ("Success, state and time per step by memory length", list(_panels(costs, success, lengths)))
        },
        columns=("length", "system", "quantity", "training_seed", "value"),
        rows=_csv_rows(outcomes, costs),
    )


def _cells(budget: Budget, model: str) -> list[Cell]:
    trained = _TRAINED[budget][model]
    cells = []
    for length in trained:
        tried = [length]
        if length == trained[-1] and model in _CONSTANT:
            tried += [longer for longer in _LENGTHS[budget] if longer > length]
        trials = [
            Trial(
                task=f"tmaze-{on}",
                tasks=2,
                episodes=_EPISODES[budget],
                seeds=1,
                deterministic=True,
                exported=budget != "smoke",  # which has no time for it
                alone=True,
            )
            for on in tried
        ]
        task = f"tmaze-{length}"
        cells += [
            Cell(
                name=model,
                task=task,
                model=model,
                settings=settings(task, model, _settings(budget, length)),
                seed=seed,
                trials=tuple(trials),
            )
            for seed in range(_SEEDS[budget])
        ]
    return cells


def _settings(budget: Budget, length: int) -> dict[str, Any]:
    if budget == "smoke":
        return SMOKE | {"data.episodes_per_context": 1, "model.chunk": 2}
    # One step in L decides, so that many episodes must be seen; fewer at a time where each is long.
    if budget == "cpu":
        return {
            "data.batch": max(1, min(16, 4_000 // length)),
            "training.updates": 1_000,
            "training.learning_rate": 1e-3,
            "training.schedule": "constant",
            "training.device": "cpu",
        }
    return FULL | {"data.batch": max(1, min(128, 640_000 // length)), "training.updates": 10_000}


def _training(cells: Sequence[Cell]) -> str:
    by_task = {cell.task: cell.config for cell in cells}
    told = (f"{task}: {run.training.updates:,} updates of {run.data.batch} episodes" for task, run in by_task.items())
    return "; ".join(told)


def _success(outcomes: Sequence[Outcome], model: str, length: int) -> Interval | None:
    """Over training seeds and signs; None where no policy was tried."""
    tried = [
        np.array(found.curves[0].returns)[0] > 0.5  # [signs, episodes]: all but success pays nothing or less
        for one in outcomes
        if one.cell.model == model
        for found in one.evaluations
        if found.task == f"tmaze-{length}"
    ]
    if not tried:
        return None
    (interval,) = intervals(np.stack(tried).mean(-1, keepdims=True))
    return interval


def _rate(budget: Budget, found: Interval | None, model: str, length: int, costs: Costs) -> str:
    trained = _TRAINED[budget][model]
    if found is not None:
        return str(found) if length in trained else f"{found}, trained at {trained[-1]:,}"
    run = load(f"tmaze-{length}", model, None, settings(f"tmaze-{length}", model, _probed(budget, length)))
    seconds, gigabytes = _estimate(costs.probes, length)
    hours = seconds * run.training.updates / 3600
    return f"not trained: over {hours:,.1f} h for {run.training.updates:,} updates of one episode, {gigabytes:,.1f} GB"


def _estimate(probes: Sequence[Probe], length: int) -> tuple[float, float]:
    """Seconds and gigabytes of an update, by the power law through two that were measured."""
    one, two = probes
    stretch = math.log(length / one.length) / math.log(two.length / one.length)
    return (
        one.seconds * (two.seconds / one.seconds) ** stretch,
        one.gigabytes * (two.gigabytes / one.gigabytes) ** stretch,
    )


def _probed(budget: Budget, length: int) -> dict[str, Any]:
    return _settings(budget, length) | {"data.batch": 1, "training.device": "cpu"}


def _measure(budget: Budget, say: Callable[[str], None]) -> Costs:
    lengths = _PROBED[budget]
    say(f"timing an update of dt at memory lengths of {' and '.join(f'{length:,}' for length in lengths)}")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # its memory is its own
        probes = fresh.submit(_probe, [_one_update(budget, length) for length in lengths], lengths).result()
    steps = []
    kept: dict[str, OrtSession] = {}
    for length in _LENGTHS[budget]:
        say(f"timing steps at a memory length of {length:,}")
        spec = tasks.find(f"tmaze-{length}").spec
        sides, state = {}, {}
        for model in _SYSTEMS:
            config = load(spec.name, model, None, settings(spec.name, model, _settings(budget, length))).model
            if model not in kept or model not in _CONSTANT:  # the others have the same graphs at every length
                kept[model] = engines.session(engines.untrained(config, spec))
            state[model] = sum(tensor.zeros(1).nbytes for tensor in build(config, spec).model_spec().state)
            turn = _FEW if model == "dt" and length > _LONG else _MANY
            sides[model] = Side(endless_episode(kept[model]), turn, _ROUNDS[budget])
        steps.append(AtLength(length=length, state_bytes=state, sides=in_turns(sides)))
    return Costs(steps=steps, probes=probes)


def _one_update(budget: Budget, length: int) -> RunConfig:
    task = f"tmaze-{length}"
    once = {"training.updates": 1, "training.log_every": 1, "training.checkpoint_every": 1}
    return load(task, "dt", None, settings(task, "dt", _probed(budget, length) | once))


def _probe(runs: Sequence[RunConfig], lengths: Sequence[int]) -> list[Probe]:
    """What an update takes at each length, the shorter ones first: memory is told by its high-water mark."""
    torch.set_num_threads(1)
    before, probes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for run, length in zip(runs, lengths, strict=True):
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
            seconds = train(run, None, Path(scratch)).seconds
        grown = max(1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        probes.append(Probe(length=length, seconds=seconds, gigabytes=grown * 1024 / 1e9))
    return probes


def _milliseconds(times: Times) -> Spread:
    return Spread.of([1000 * seconds for seconds in times.seconds])


def _verdicts(costs: Costs, success: dict[tuple[str, int], Interval | None]) -> Iterator[str]:
    first, last = costs.steps[0], costs.steps[-1]
    for index, model in enumerate(_SYSTEMS):
        reach = [length for (system, length), found in success.items() if system == model and found and found.mean == 1]
        reached = f"up to L = {max(reach):,} every episode succeeds" if reach else "at no length every episode succeeds"
        state = last.state_bytes[model] / first.state_bytes[model]
        time = np.median(last.sides[index].seconds) / np.median(first.sides[index].seconds)
        yield (
            f"{model}: {reached}; from L = {first.length:,} to {last.length:,} its state grows {state:.3g}-fold, its "
            f"time per step {time:.3g}-fold."
        )


def _panels(costs: Costs, success: dict[tuple[str, int], Interval | None], lengths: Sequence[int]) -> Iterator[Panel]:
    label = "memory length L, steps"
    yield Panel(
        "success",
        label,
        "share of episodes",
        [
            Line.of(model, *zip(*((at, success[model, at]) for at in lengths if success[model, at]), strict=True))
            for model in _SYSTEMS
        ],
        log_x=True,
    )
    megabytes = {model: [at.state_bytes[model] / 1e6 for at in costs.steps] for model in _SYSTEMS}
    yield Panel(
        "state of one robot",
        label,
        "MB",
        [Line(model, lengths, sizes, sizes, sizes) for model, sizes in megabytes.items()],
        log=True,
    )
    times = {model: [_milliseconds(at.sides[index]) for at in costs.steps] for index, model in enumerate(_SYSTEMS)}
    yield Panel(
        "time per step, one thread",
        label,
        "ms",
        [
            Line(model, lengths, [at.median for at in taken], [at.low for at in taken], [at.high for at in taken])
            for model, taken in times.items()
        ],
        log=True,
    )


def _csv_rows(outcomes: Sequence[Outcome], costs: Costs) -> Iterator[tuple[object, ...]]:
    for one in outcomes:
        for found in one.evaluations:
            for hidden, row in zip(found.hidden, found.curves[0].returns[0], strict=True):
                for value in row:
                    length = found.task.removeprefix("tmaze-")
                    yield length, one.cell.model, f"return with sign {hidden}", one.cell.seed, round(value, 6)
    for at in costs.steps:
        for side in at.sides:
            yield at.length, side.name, "state_bytes", "", at.state_bytes[side.name]
            yield at.length, side.name, "seconds_per_step", "", f"{np.median(side.seconds):.4g}"
    for probe in costs.probes:
        yield probe.length, "dt", "seconds_per_update_of_one_episode", "", f"{probe.seconds:.4g}"
        yield probe.length, "dt", "gigabytes_per_update_of_one_episode", "", f"{probe.gigabytes:.4g}"


STUDY = Study("tmaze", run)
