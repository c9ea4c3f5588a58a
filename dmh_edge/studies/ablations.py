"""What do two parts of DM-H contribute: the valuable sub-goal, and the length c of a chunk?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dmh_edge.evaluate import Returns
from dmh_edge.plots import Line, Panel
from dmh_edge.studies import compare, grid_cells, paper
from dmh_edge.studies.bootstrap import ABOUT_VERDICTS
from dmh_edge.studies.cell import Cell
from dmh_edge.studies.grid_returns import LAST, GridReturns, episodes_of, results_of, return_rows
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table

_WITH, _WITHOUT = "with sub-goal", "without sub-goal"
#: The memory's own sub-goal: a draw, as in the paper, or the mean of that draw, as in the presets of small rooms.
_OWN: Mapping[str, Mapping[str, Any]] = {"a draw": grid_cells.DRAWN, "the mean": grid_cells.MEAN}
_CHUNKS = {"smoke": (1, 5), "cpu": (1, 5, 10, 15, 20), "full": (1, 5, 10, 15, 20)}
_TASKS = {
    "smoke": grid_cells.TASKS["smoke"],
    "cpu": grid_cells.TASKS["cpu"],
    "full": ("darkroom-hard", "key-to-door", "large-darkroom-hard", "large-key-to-door"),
}
_MEANS = (
    f"Means over the last {LAST} episodes with 95% intervals, bootstrapped over training seeds and hidden tasks; "
    f"differences are taken hidden task by hidden task. {ABOUT_VERDICTS} The paper's figures are read off its plots."
)


def find_subgoal(budget: Budget, workshop: Workshop) -> Results:
    """Train and try DM-H with and without the loss under the valuable sub-goal."""
    return _found(workshop, _cells_subgoal(budget))


def page_subgoal(budget: Budget, results: Results) -> Page:
    """Compare DM-H with and without this loss on one page."""
    found = GridReturns(results)
    gains = {
        (task, own): compare.difference(found.returns(task, _arm(_WITH, own)), found.returns(task, _arm(_WITHOUT, own)))
        for own in _OWN
        for task in found.tasks
    }

    def rows() -> Iterator[tuple[str, ...]]:
        for (task, own), gain in gains.items():
            sides = (str(compare.last(found.returns(task, _arm(loss, own)))) for loss in (_WITH, _WITHOUT))
            papers = (f"{figure:g}" for figure in paper.SUBGOAL.get(task, ()))
            yield task, own, *sides, str(gain), gain.verdict, " / ".join(papers) or "-"

    panels = [
        compare.panel(task, {name: found.returns(task, name) for name in found.policies(task)}) for task in found.tasks
    ]
    return Page(
        title="Ablation: the valuable sub-goal",
        asked="Return of DM-H trained with and without the loss under the valuable sub-goal (`model.subgoal_weight` as "
        "in the preset, and 0); the memory's own sub-goal is a draw, as in the paper, or its mean: "
        f"{grid_cells.sample(budget, found)}. {grid_cells.training(_cells_subgoal(budget))}.",
        verdicts=[
            compare.sentence(task, _arm(_WITH, own), _arm(_WITHOUT, own), gain) for (task, own), gain in gains.items()
        ],
        body=[
            table(("task", "own sub-goal", _WITH, _WITHOUT, "difference", "with is", "paper, with / without"), rows()),
            _MEANS,
        ],
        pictures={"ablation-subgoal": ("Return per episode with and without the valuable sub-goal", panels)},
    )


def find_chunk(budget: Budget, workshop: Workshop) -> Results:
    """Train and try DM-H with sub-goals of several lengths."""
    return _found(workshop, _cells_chunk(budget))


def page_chunk(budget: Budget, results: Results) -> Page:
    """Compare the lengths on one page."""
    found = GridReturns(results)
    tasks, chunks = found.tasks, _CHUNKS[budget]
    shortest = chunks[0]

    def side(task: str, c: int) -> Returns:
        return found.returns(task, _named(c))

    gains = {(task, c): compare.difference(side(task, c), side(task, shortest)) for task in tasks for c in chunks[1:]}
    points = {task: [compare.last(side(task, c)) for c in chunks] for task in tasks}
    return Page(
        title="Ablation: steps under one sub-goal",
        asked=f"Return of DM-H with sub-goals of c = {', '.join(map(str, chunks))} steps, drawn as in the paper: "
        f"{grid_cells.sample(budget, found)}. {grid_cells.training(_cells_chunk(budget))}.",
        verdicts=[compare.sentence(task, _named(c), _named(shortest), gain) for (task, c), gain in gains.items()],
        body=[
            table(("task", *map(_named, chunks)), ((task, *map(str, points[task])) for task in tasks)),
            _MEANS,
            f"## Difference to {_named(shortest)}",
            table(
                ("task", *map(_named, chunks[1:])),
                ((task, *(str(gains[task, c]) for c in chunks[1:])) for task in tasks),
            ),
            "## The paper",
            "The paper finds that c from 10 to 20 is good. Hopper is in D4RL's normalised score.",
            table(
                ("task", *map(_named, chunks)),
                ((task, *(f"{figures[c]:g}" for c in chunks)) for task, figures in paper.CHUNK.items()),
            ),
        ],
        pictures={
            "ablation-c": (
                "Return by c",
                [
                    Panel(
                        task,
                        "c, steps under one sub-goal",
                        f"return, last {LAST} episodes",
                        [Line.of("dm-h", chunks, points[task])],
                    )
                    for task in tasks
                ],
            )
        },
    )


def _cells_subgoal(budget: Budget) -> list[Cell]:
    arms = {
        _arm(loss, own): {**settings, **weight}
        for own, settings in _OWN.items()
        for loss, weight in ((_WITH, {}), (_WITHOUT, {"model.subgoal_weight": 0}))
    }
    return [
        cell
        for task in _TASKS[budget]
        for name, arm in arms.items()
        for cell in grid_cells.cells(budget, task, "dm-h", name, arm)
    ]


def _cells_chunk(budget: Budget) -> list[Cell]:
    return [
        cell
        for task in _TASKS[budget]
        for c in _CHUNKS[budget]
        for cell in grid_cells.cells(budget, task, "dm-h", _named(c), {**grid_cells.DRAWN, "model.chunk": c})
    ]


def _found(workshop: Workshop, cells: Sequence[Cell]) -> Results:
    outcomes = workshop.finish(cells)
    return results_of(return_rows(outcomes), episodes_of(outcomes[0]))


def _arm(loss: str, own: str) -> str:
    return loss if own == "a draw" else f"{loss}, not drawn"


def _named(c: int) -> str:
    return f"c = {c}"


SUBGOAL = Study("ablation-subgoal", find_subgoal, page_subgoal)
CHUNK = Study("ablation-c", find_chunk, page_chunk)
