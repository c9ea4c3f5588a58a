"""How far does a memory reach, and what does it cost? In T-maze, a sign must be remembered for L steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmh_edge.plots import Line, Panel
from dmh_edge.presets import load
from dmh_edge.studies import paper
from dmh_edge.studies.cell import Cell
from dmh_edge.studies.memory_length_costs import Costs, estimate, measure
from dmh_edge.studies.memory_length_plan import EPISODES, SEEDS, SYSTEMS, cells, serves, wanted_settings
from dmh_edge.studies.memory_length_results import MemoryLengthResults, results_of
from dmh_edge.studies.results import Results
from dmh_edge.studies.stopwatch import Spread
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table

_ASKED = (
    "Success rate - the share of episodes that end in the arm which the sign showed, L steps before - and, of the "
    "exported graphs, the size of the state and the time per step. Policies run through the exported graphs, without "
    "noise: with noise, one bad action among the L steps would make an episode late."
)
_ABOUT_SUCCESS = (
    "Means and 95% intervals, bootstrapped over training seeds and signs. Each policy is trained on the corridor of "
    "the given length and on its halves, from the expert's actions. Every action has the same weight in the loss, and "
    "only one action in L decides. A policy with a state of one size is the same at every length: where it was not "
    "trained, the weights of the longest training are used. The window of dt is the episode, and its positions are "
    "fractions of it, so its weights mean something else at another length."
)
_ABOUT_TRAINING = (
    "One thread; memory is the most that the process had, with the data set and PyTorch itself. Where dt was not "
    "trained, a power law through its two rows gives what training would take. This is a lower bound, because the "
    "part that grows with the square of L weighs more and more."
)
_ABOUT_TIMES = (
    "ONNX Runtime, one thread, the systems take turns; medians over rounds, with quartiles. A turn of DM-H is a chunk "
    "or more, so it includes a step of the memory. The weights are untrained."
)


def find(budget: Budget, workshop: Workshop) -> Results:
    """Train where it is feasible, try at every length, and time a step at every length."""
    outcomes = workshop.finish(_policies(budget))
    return results_of(outcomes, workshop.kept(f"tmaze-{budget}", Costs, lambda: measure(budget, workshop.say)))


def page(budget: Budget, results: Results) -> Page:
    """Compare the systems on one page."""
    found = MemoryLengthResults(results)

    def rates() -> Iterator[tuple[str, ...]]:
        for length in found.lengths:
            yield f"{length:,}", *(_rate(budget, found, model, length) for model in SYSTEMS)

    def papers() -> Iterator[tuple[str, ...]]:
        for length, figures in paper.TMAZE.items():
            yield f"{length:,}", *("out of memory" if figure is None else f"{figure:g}" for figure in figures.values())

    def updates() -> Iterator[tuple[str, ...]]:
        for probe in found.probes:
            yield probe.system, f"{probe.length:,}", f"{probe.seconds:.2g}", f"{probe.gigabytes:.2g}"

    def sizes() -> Iterator[tuple[str, ...]]:
        for length in found.lengths:
            yield f"{length:,}", *(f"{found.state_bytes(model, length) / 1e6:,.3f}" for model in SYSTEMS)

    def times() -> Iterator[tuple[str, ...]]:
        for length in found.lengths:
            yield f"{length:,}", *(str(_milliseconds(found, model, length)) for model in SYSTEMS)

    return Page(
        title="T-maze: how far a memory reaches, and what it costs",
        asked=f"{_ASKED} {SEEDS[budget]} training seeds, both signs, {EPISODES[budget]} episodes in a row. "
        f"{_training(_policies(budget))}.",
        verdicts=list(_verdicts(found)),
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
        pictures={"tmaze": ("Success, state and time per step by memory length", list(_panels(found)))},
    )


def _policies(budget: Budget) -> list[Cell]:
    return [cell for model in SYSTEMS for cell in cells(budget, model)]


def _training(policies: Sequence[Cell]) -> str:
    by_name = {(cell.name, cell.task): cell.config for cell in policies}
    told = (
        f"{name} on {task}: {run.training.updates:,} updates of {run.data.batch}"
        for (name, task), run in by_name.items()
    )
    return f"Episodes seen: {'; '.join(told)}"


def _rate(budget: Budget, found: MemoryLengthResults, model: str, length: int) -> str:
    success, trained = found.success(model, length), serves(budget, model, length)
    if success is not None:
        return str(success) if length == trained else f"{success}, trained at {trained:,}"
    run = load(f"tmaze-{length}", model, None, wanted_settings(budget, model, length))
    seconds, gigabytes = estimate([probe for probe in found.probes if probe.system == model], length)
    contexts = run.training.updates * run.data.batch
    return (
        f"not trained: over {seconds * contexts / 3600:,.1f} h for {contexts:,} episodes, {gigabytes:,.1f} GB for one"
    )


def _milliseconds(found: MemoryLengthResults, model: str, length: int) -> Spread:
    seconds = found.step_s(model, length)
    return Spread(1000 * seconds.median, 1000 * seconds.low, 1000 * seconds.high)


def _verdicts(found: MemoryLengthResults) -> Iterator[str]:
    first, last = found.lengths[0], found.lengths[-1]
    for model in SYSTEMS:
        success = {length: found.success(model, length) for length in found.lengths}
        reach = [length for length, share in success.items() if share and share.mean == 1]
        reached = (
            f"up to L = {max(reach):,} every episode succeeds" if reach else "at no length does every episode succeed"
        )
        state = found.state_bytes(model, last) / found.state_bytes(model, first)
        time = found.step_s(model, last).median / found.step_s(model, first).median
        yield (
            f"{model}: {reached}; from L = {first:,} to {last:,} the size of its state changes by a factor of "
            f"{state:.3g}, its time per step by {time:.3g}."
        )


def _panels(found: MemoryLengthResults) -> Iterator[Panel]:
    label, lengths = "memory length L, steps", found.lengths
    success = {model: [(at, share) for at in lengths if (share := found.success(model, at))] for model in SYSTEMS}
    yield Panel(
        "success",
        label,
        "share of episodes",
        [
            Line.of(model, [length for length, _ in points], [share for _, share in points])
            for model, points in success.items()
        ],
        log_x=True,
    )
    megabytes = {model: [found.state_bytes(model, at) / 1e6 for at in lengths] for model in SYSTEMS}
    yield Panel(
        "state of one robot",
        label,
        "MB",
        [Line(model, lengths, sizes, sizes, sizes) for model, sizes in megabytes.items()],
        log=True,
    )
    times = {model: [_milliseconds(found, model, at) for at in lengths] for model in SYSTEMS}
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


STUDY = Study("tmaze", find, page)
