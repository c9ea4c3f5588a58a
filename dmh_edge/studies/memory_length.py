"""How far does a memory reach, and what does reaching cost: in T-maze, a sign must be remembered for L steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dmh_edge.intervals import Interval, intervals
from dmh_edge.plots import Line, Panel
from dmh_edge.presets import load
from dmh_edge.studies import paper
from dmh_edge.studies.cell import Cell, Outcome
from dmh_edge.studies.memory_length_costs import Costs, estimate, measure
from dmh_edge.studies.memory_length_plan import EPISODES, LENGTHS, SEEDS, SYSTEMS, cells, serves, wanted_settings
from dmh_edge.studies.stopwatch import Spread, Times
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table

_ASKED = (
    "Success rate - the share of episodes that end in the arm which the sign showed, L steps before - and, of the "
    "exported graphs, the size of the state and the time per step. Policies run through the exported graphs, without "
    "noise: among so many steps, one sampled badly is enough to be late."
)
_ABOUT_SUCCESS = (
    "Means and 95% intervals, bootstrapped over training seeds and signs. All are trained on the corridor of the "
    "length that is said and on its halves, from the expert's actions, with each action weighing as much as any other: "
    "one step in L decides. A policy whose state has one size is the same at every length: where it was not trained, "
    "the weights of the longest training serve. The window of dt is the episode, and its positions are fractions of "
    "it, so that its weights mean something else at another length."
)
_ABOUT_TRAINING = (
    "One thread; memory is the most that the process had, with the data set and PyTorch itself. Where dt was not "
    "trained, the power law through its two rows says what training would take; it is a lower bound, since what grows "
    "with the square weighs more and more."
)
_ABOUT_TIMES = (
    "ONNX Runtime, one thread, all systems in turns; medians over rounds, with quartiles. A turn of DM-H is a chunk or "
    "more, in which its memory's share is due. Weights are those that training would start from."
)


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train where it is feasible, try at every length, and time a step at every length."""
    policies = [cell for model in SYSTEMS for cell in cells(budget, model)]
    outcomes = workshop.finish(policies)
    costs = workshop.kept(f"tmaze-{budget}", Costs, lambda: measure(budget, workshop.say))
    lengths = LENGTHS[budget]
    success = {(model, length): _success(outcomes, model, length) for model in SYSTEMS for length in lengths}

    def rates() -> Iterator[tuple[str, ...]]:
        for length in lengths:
            yield f"{length:,}", *(_rate(budget, success[model, length], model, length, costs) for model in SYSTEMS)

    def papers() -> Iterator[tuple[str, ...]]:
        for length, figures in paper.TMAZE.items():
            yield f"{length:,}", *("out of memory" if figure is None else f"{figure:g}" for figure in figures.values())

    def updates() -> Iterator[tuple[str, ...]]:
        for probe in costs.probes:
            yield probe.system, f"{probe.length:,}", f"{probe.seconds:.2g}", f"{probe.gigabytes:.2g}"

    def sizes() -> Iterator[tuple[str, ...]]:
        for at in costs.steps:
            yield f"{at.length:,}", *(f"{at.state_bytes[model] / 1e6:,.3f}" for model in SYSTEMS)

    def times() -> Iterator[tuple[str, ...]]:
        for at in costs.steps:
            yield f"{at.length:,}", *(str(_milliseconds(side)) for side in at.sides)

    return Page(
        title="T-maze: how far a memory reaches, and what it costs",
        asked=f"{_ASKED} {SEEDS[budget]} training seeds, both signs, {EPISODES[budget]} episodes in a row. "
        f"{_training(policies)}.",
        verdicts=list(_verdicts(costs, success)),
        body=[
            "## Success rate",
            table(("L", *SYSTEMS), rates()),
            _ABOUT_SUCCESS,
            "The paper, printed in its figure:",
            table(("L", *SYSTEMS), papers()),
            "## One update of one episode in the whole corridor",
            table(("system", "L", "seconds", "GB"), updates()),
            _ABOUT_TRAINING,
            "## State of one robot, MB",
            table(("L", *SYSTEMS), sizes()),
            "## Time per step, ms",
            table(("L", *SYSTEMS), times()),
            _ABOUT_TIMES,
        ],
        pictures={
            "tmaze": ("Success, state and time per step by memory length", list(_panels(costs, success, lengths)))
        },
        columns=("length", "system", "quantity", "training_seed", "value"),
        rows=_csv_rows(outcomes, costs),
    )


def _training(policies: Sequence[Cell]) -> str:
    by_name = {(cell.name, cell.task): cell.config for cell in policies}
    told = (
        f"{name} on {task}: {run.training.updates:,} updates of {run.data.batch}"
        for (name, task), run in by_name.items()
    )
    return f"Episodes seen: {'; '.join(told)}"


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
    trained = serves(budget, model, length)
    if found is not None:
        return str(found) if length == trained else f"{found}, trained at {trained:,}"
    run = load(f"tmaze-{length}", model, None, wanted_settings(budget, model, length))
    seconds, gigabytes = estimate(costs.of_dt(), length)
    contexts = run.training.updates * run.data.batch
    return (
        f"not trained: over {seconds * contexts / 3600:,.1f} h for {contexts:,} episodes, {gigabytes:,.1f} GB for one"
    )


def _milliseconds(times: Times) -> Spread:
    return Spread.of([1000 * seconds for seconds in times.seconds])


def _verdicts(costs: Costs, success: dict[tuple[str, int], Interval | None]) -> Iterator[str]:
    first, last = costs.steps[0], costs.steps[-1]
    for index, model in enumerate(SYSTEMS):
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
            for model in SYSTEMS
        ],
        log_x=True,
    )
    megabytes = {model: [at.state_bytes[model] / 1e6 for at in costs.steps] for model in SYSTEMS}
    yield Panel(
        "state of one robot",
        label,
        "MB",
        [Line(model, lengths, sizes, sizes, sizes) for model, sizes in megabytes.items()],
        log=True,
    )
    times = {model: [_milliseconds(at.sides[index]) for at in costs.steps] for index, model in enumerate(SYSTEMS)}
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
        yield probe.length, probe.system, "seconds_per_update_of_one_episode", "", f"{probe.seconds:.4g}"
        yield probe.length, probe.system, "gigabytes_per_update_of_one_episode", "", f"{probe.gigabytes:.4g}"


STUDY = Study("tmaze", run)
