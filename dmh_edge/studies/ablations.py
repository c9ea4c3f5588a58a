"""What do two parts of DM-H contribute: the valuable sub-goal, and the length c of a chunk?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dmh_edge.plots import Line, Panel
from dmh_edge.studies import compare, paper
from dmh_edge.studies.cell import Outcome
from dmh_edge.studies.study import Budget, Study, Workshop, by_name
from dmh_edge.studies.study_page import Page, table

_WITH, _WITHOUT = "with sub-goal", "without sub-goal"
#: What the memory's own sub-goal is, as the paper has it and as the preset of small rooms does.
_OWN: Mapping[str, Mapping[str, Any]] = {"a draw": compare.DRAWN, "the mean": compare.MEAN}
_CHUNKS = {"smoke": (1, 5), "cpu": (1, 5, 10, 15, 20), "full": (1, 5, 10, 15, 20)}
_TASKS = {
    "smoke": compare.TASKS["smoke"],
    "cpu": compare.TASKS["cpu"],
    "full": ("darkroom-hard", "key-to-door", "large-darkroom-hard", "large-key-to-door"),
}
_MEANS = (
    f"Means over the last {compare.LAST} episodes with 95% intervals, bootstrapped over training seeds and hidden "
    "tasks; differences are taken hidden task by hidden task. The paper's figures are read off its plots."
)


def run_subgoal(budget: Budget, workshop: Workshop) -> Page:
    """DM-H with and without the loss under the valuable sub-goal."""
    tasks = _TASKS[budget]
    arms = {
        _arm(loss, own): {**settings, **weight}
        for own, settings in _OWN.items()
        for loss, weight in ((_WITH, {}), (_WITHOUT, {"model.subgoal_weight": 0}))
    }
    cells = [
        cell for task in tasks for name, arm in arms.items() for cell in compare.cells(budget, task, "dm-h", name, arm)
    ]
    outcomes = workshop.finish(cells)
    found = by_name(outcomes)
    gains = {
        (task, own): compare.difference(found[task, _arm(_WITH, own)], found[task, _arm(_WITHOUT, own)])
        for own in _OWN
        for task in tasks
    }

    def rows() -> Iterator[tuple[str, ...]]:
        for (task, own), gain in gains.items():
            sides = (str(compare.last(found[task, _arm(loss, own)])) for loss in (_WITH, _WITHOUT))
            papers = (f"{figure:g}" for figure in paper.SUBGOAL.get(task, ()))
            yield task, own, *sides, str(gain), compare.verdict(gain), " / ".join(papers) or "-"

    return Page(
        title="Ablation: the valuable sub-goal",
        asked="Return of DM-H trained with and without the loss under the valuable sub-goal (`model.subgoal_weight` as "
        f"in the preset, and 0); the memory's own sub-goal is a draw, as in the paper, or its mean: "
        f"{compare.sample(outcomes)}. {compare.training(outcomes)}.",
        verdicts=[
            compare.sentence(task, _arm(_WITH, own), _arm(_WITHOUT, own), gain) for (task, own), gain in gains.items()
        ],
        body=[
            table(("task", "own sub-goal", _WITH, _WITHOUT, "difference", "with is", "paper, with / without"), rows()),
            _MEANS,
        ],
        pictures={
            "ablation-subgoal": (
                "Return per episode with and without the valuable sub-goal",
                [compare.panel(task, {name: found[task, name] for name in arms}, yardsticks=False) for task in tasks],
            )
        },
        columns=compare.CSV_COLUMNS,
        rows=compare.csv_rows(outcomes),
    )


def run_chunk(budget: Budget, workshop: Workshop) -> Page:
    """DM-H with sub-goals of several lengths."""
    tasks, chunks = _TASKS[budget], _CHUNKS[budget]
    cells = [
        cell
        for task in tasks
        for c in chunks
        for cell in compare.cells(budget, task, "dm-h", _named(c), {**compare.DRAWN, "model.chunk": c})
    ]
    outcomes = workshop.finish(cells)
    found = by_name(outcomes)
    shortest = chunks[0]

    def side(task: str, c: int) -> list[Outcome]:
        return found[task, _named(c)]

    def ours() -> Iterator[tuple[str, ...]]:
        for task in tasks:
            yield task, *(str(compare.last(side(task, c))) for c in chunks)

    def gains() -> Iterator[tuple[str, ...]]:
        for task in tasks:
            yield task, *(str(compare.difference(side(task, c), side(task, shortest))) for c in chunks[1:])

    def papers() -> Iterator[tuple[str, ...]]:
        for task, figures in paper.CHUNK.items():
            yield task, *(f"{figures[c]:g}" for c in chunks)

    line = {task: Line.of("dm-h", chunks, [compare.last(side(task, c)) for c in chunks]) for task in tasks}
    return Page(
        title="Ablation: steps under one sub-goal",
        asked=f"Return of DM-H with sub-goals of c = {', '.join(map(str, chunks))} steps, drawn as in the paper: "
        f"{compare.sample(outcomes)}. "
        f"{compare.training(outcomes)}.",
        verdicts=[
            compare.sentence(task, _named(c), _named(shortest), compare.difference(side(task, c), side(task, shortest)))
            for task in tasks
            for c in chunks[1:]
        ],
        body=[
            table(("task", *map(_named, chunks)), ours()),
            _MEANS,
            f"## Difference to {_named(shortest)}",
            table(("task", *map(_named, chunks[1:])), gains()),
            "## The paper",
            "It finds c from 10 to 20 good. Hopper is in D4RL's normalised score.",
            table(("task", *map(_named, chunks)), papers()),
        ],
        pictures={
            "ablation-c": (
                "Return by c",
                [
                    Panel(task, "c, steps under one sub-goal", f"return, last {compare.LAST} episodes", [line[task]])
                    for task in tasks
                ],
            )
        },
        columns=compare.CSV_COLUMNS,
        rows=compare.csv_rows(outcomes),
    )


def _arm(loss: str, own: str) -> str:
    return loss if own == "a draw" else f"{loss}, not drawn"


def _named(c: int) -> str:
    return f"c = {c}"


SUBGOAL, CHUNK = Study("ablation-subgoal", run_subgoal), Study("ablation-c", run_chunk)
