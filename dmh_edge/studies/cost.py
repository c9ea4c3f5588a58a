"""How long does a step take as the context grows, and how many times as long as with DM-H does it take with AD?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.sequence import ADTransformerConfig
from dmh_edge.plots import Line, Panel
from dmh_edge.studies import paper
from dmh_edge.studies.cost_times import (
    EPISODES,
    EXPORTED,
    IN_PLACE,
    MAMBA,
    OURS,
    REREADING,
    ContextCosts,
    measure,
)
from dmh_edge.studies.results import Results
from dmh_edge.studies.stopwatch import Spread, Times, figure, ratio
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table

_RIVAL = (REREADING, EXPORTED, IN_PLACE)
_SIDES = (OURS, MAMBA, *_RIVAL)
_SECONDS, _LOAD = "seconds per step", "load of the machine at the start"

_ASKED = (
    f"Time per environment step by length of the context, at the paper's sizes: width {DMHConfig().width}; for DM-H "
    f"{DMHConfig().memory_layers} Mamba and {DMHConfig().actor_layers} transformer layers with "
    f"c = {DMHConfig().chunk}; for both kinds of AD {ADTransformerConfig().layers} layers. The weights are untrained, "
    "because the time does not depend on them. The observations are cells of Darkroom, and the time does not depend on "
    f"them either. A context is {EPISODES} episodes, and AD reads four tokens per step of it; DM-H and AD with Mamba "
    "read as many steps before they are timed."
)
_ABOUT_TIMES = (
    "Medians over rounds, with quartiles; in a round all sides take a turn, in one process. A turn of DM-H is a chunk "
    f"of {DMHConfig().chunk} steps, and its memory is due on one of them. Exported sides run in ONNX Runtime on one "
    "thread; inputs are copied in and states are committed as in the control loop. The other two run in PyTorch, on "
    "one thread or on all cores, whichever is the faster. Where re-reading takes seconds it has fewer rounds, as the "
    "CSV shows. *Context re-read* is how the paper ran AD: the whole context goes through the transformer for one "
    "action, but here the last layer computes only that action. *KV cache, in place* is PyTorch at its best: a ring "
    "that is allocated once and written in place, read by fused attention."
)
_ABOUT_THE_PAPER = (
    f"The paper: {paper.TEST_MINUTES['ad-transformer']:g} minutes with AD (transformer), "
    f"{paper.TEST_MINUTES['ad-mamba']:g} with AD (Mamba) and {paper.TEST_MINUTES['dm-h']:g} with DM-H for ten episodes "
    f"of HalfCheetah at a context of {paper.TEST_CONTEXT:,} steps, on a GPU, environment included: {paper.TEST_RATIO} "
    "times as long with a transformer as with DM-H. An episode has 1,000 steps, so this is "
    f"{6 * paper.TEST_MINUTES['ad-transformer']:,.0f} and {6 * paper.TEST_MINUTES['dm-h']:.0f} ms per step. The ratio "
    "is smaller than here because a GPU reads a whole context at once, and because the time around the model counts "
    "as well."
)


def find(budget: Budget, workshop: Workshop) -> Results:
    """Measure the times, or read them if they were measured before."""
    return results_of(workshop.kept(f"cost-{budget}", ContextCosts, lambda: measure(budget, workshop.say)))


def results_of(costs: ContextCosts) -> Results:
    """One row for each round of each side; the load of the machine has a row of its own."""

    def rows() -> Iterator[tuple[object, ...]]:
        yield "", "", _LOAD, "", costs.load
        for row in costs.rows:
            for times in row.sides:
                for number, seconds in enumerate(times.seconds):
                    yield row.steps, times.name, _SECONDS, number, f"{seconds:.6g}"

    return Results.of(("context_steps", "side", "quantity", "round", "value"), rows())


def page(_budget: Budget, results: Results) -> Page:
    """Compare DM-H with the ways to run its rivals on one page."""
    (load,) = results.records(quantity=_LOAD)
    best = _fastest_threads(results)

    def times() -> Iterator[tuple[str, ...]]:
        for steps, sides in best.items():
            yield f"{steps:,}", *(str(_milliseconds(times)) for times in sides.values())

    def ratios() -> Iterator[tuple[str, ...]]:
        for steps, sides in best.items():
            yield f"{steps:,}", *(str(ratio(sides[name], sides[OURS])) for name in (MAMBA, *_RIVAL))

    lines = [_line(name, {steps: _milliseconds(sides[name]) for steps, sides in best.items()}) for name in _SIDES]
    shares = [
        _line(name, {steps: ratio(sides[name], sides[OURS]) for steps, sides in best.items()})
        for name in (MAMBA, *_RIVAL)
    ]
    if paper.TEST_CONTEXT in best:
        point = [paper.TEST_RATIO]
        shares.append(Line("the paper, on a GPU", [paper.TEST_CONTEXT], point, point, point))
    return Page(
        title="What a step costs",
        asked=_ASKED,
        verdicts=list(_verdicts(best)),
        body=[
            "## Milliseconds per step",
            table(("context, steps", *_SIDES), times()),
            _ABOUT_TIMES,
            "## Times the cost of DM-H",
            table(("context, steps", MAMBA, *_RIVAL), ratios()),
            _ABOUT_THE_PAPER,
            f"Load of the machine at the start, in processes that want to run: {float(load['value']):.1f}.",
        ],
        pictures={
            "cost": (
                "Time per step, and its ratio to DM-H's, by length of the context",
                [
                    Panel("time per step", "context, environment steps", "ms per step", lines, log=True),
                    Panel("times the cost of DM-H", "context, environment steps", "ratio", shares, log=True),
                ],
            )
        },
    )


def _fastest_threads(results: Results) -> dict[int, dict[str, Times]]:
    """Times by length and side; of a side with several numbers of threads, the times with the lowest median."""
    seconds: dict[int, dict[str, list[float]]] = {}
    for row in results.records(quantity=_SECONDS):
        taken = seconds.setdefault(int(row["context_steps"]), {}).setdefault(row["side"], [])
        taken.append(float(row["value"]))
    return {steps: {name: _fastest_of(taken, name) for name in _SIDES} for steps, taken in seconds.items()}


def _fastest_of(taken: dict[str, list[float]], name: str) -> Times:
    found = (Times(name=name, seconds=seconds) for side, seconds in taken.items() if side.startswith(name))
    return min(found, key=lambda times: np.median(times.seconds))


def _milliseconds(times: Times) -> Spread:
    return Spread.of([1000 * seconds for seconds in times.seconds])


def _line(name: str, points: dict[int, Spread]) -> Line:
    y = points.values()
    return Line(name, list(points), [at.median for at in y], [at.low for at in y], [at.high for at in y])


def _verdicts(best: dict[int, dict[str, Times]]) -> Iterator[str]:
    if sides := best.get(paper.TEST_CONTEXT):
        yield (
            f"At the paper's {paper.TEST_CONTEXT:,} steps, re-reading the context costs "
            f"{ratio(sides[REREADING], sides[OURS])} times as much as DM-H, where the paper has {paper.TEST_RATIO}; "
            f"the fastest of the three ways to run AD with a transformer ({_fastest(sides)}) costs "
            f"{ratio(sides[_fastest(sides)], sides[OURS])} times as much."
        )
    (shortest, at_first), *_, (longest, at_last) = best.items()
    fastest = _fastest(at_last)
    above = ratio(at_last[fastest], at_last[OURS])
    passed = above.median > paper.TEST_RATIO
    yield (
        f"At {longest:,} steps the fastest of the three ways to run AD with a transformer ({fastest}) costs {above} "
        f"times as much as DM-H: {paper.TEST_RATIO} times is "
        + ("passed." if passed else f"missed by a factor of {paper.TEST_RATIO / above.median:.2g}.")
    )
    ours, theirs = (
        [min(float(np.median(sides[name].seconds)) for name in names) for sides in (at_first, at_last)]
        for names in ([OURS], _RIVAL)
    )
    yield (
        f"From {shortest:,} to {longest:,} steps the cost of DM-H changes by a factor of {ours[1] / ours[0]:.2f}, that "
        f"of the fastest way to run AD with a transformer by {theirs[1] / theirs[0]:.3g}."
    )
    yield _about_mamba([ratio(sides[MAMBA], sides[OURS]).median for sides in best.values()])


def _about_mamba(medians: list[float]) -> str:
    """The sentence on AD with Mamba: its ratio to DM-H over all lengths, because one length says too little."""
    low, high = figure(min(medians)), figure(max(medians))
    times = f"{low} times" if low == high else f"between {low} and {high} times"
    mixed = ": less at some lengths and more at others" if min(medians) < 1 < max(medians) else ""
    return (
        "The state of AD with Mamba does not grow either. Over all lengths a step costs "
        f"{times} as much as with DM-H{mixed}."
    )


def _fastest(sides: dict[str, Times]) -> str:
    return min(_RIVAL, key=lambda name: np.median(sides[name].seconds))


STUDY = Study("cost", find, page)
