"""Does DM-H learn faster in context than its rivals, with the same data and the same number of updates?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dmh_edge.presets import load
from dmh_edge.studies import compare, grid_cells, paper
from dmh_edge.studies.bootstrap import ABOUT_VERDICTS
from dmh_edge.studies.cell import Cell
from dmh_edge.studies.grid_returns import (
    CORRELATION,
    LAST,
    LOSS,
    MINUTES,
    YARDSTICKS,
    ZEROED,
    GridReturns,
    episodes_of,
    results_of,
    return_rows,
    value_row,
    yardstick_rows,
    zeroed_rows,
)
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import Budget, Study, Workshop, by_name
from dmh_edge.studies.study_page import Page, table

_RIVALS = {
    "smoke": ("ad-mamba", "ad-transformer"),
    "cpu": ("ad-mamba", "ad-transformer"),
    "full": ("ad-mamba", "ad-transformer", "dm", "dt", "bc"),
}
#: Four variants of DM-H: the preset, whose sub-goal is the mean in small rooms; a sub-goal that is drawn, so that the
#: actor must cope with noise; a memory that reads every step, as the rivals' memories do; and four times as many
#: updates, which take about as long as the updates of the slowest rival.
_OURS: Mapping[str, Mapping[str, Any]] = {
    "dm-h": {},
    "dm-h, drawn sub-goal": grid_cells.DRAWN,
    "dm-h, c = 1": {"model.chunk": 1},
    "dm-h, 4,000 updates": {"training.updates": 4_000},
}
_OURS_OF = {"smoke": tuple(_OURS)[:2], "cpu": tuple(_OURS), "full": tuple(_OURS)[:3]}

_ABOUT_RETURNS = (
    "Means and 95% intervals, bootstrapped over training seeds and hidden tasks, in the first episode and in the last "
    f"{LAST}. *Memory zeroed*: the same policy with its memory zeroed at the start of each episode; what it cannot do "
    "then, it had learned in context. The expert knows what the task hides: its return is the best possible. The "
    "paper's figures are read off its plots at episode 20. *Loss*: how well the policies imitated at the end of their "
    "training, for DM-H with the sub-goals of its own memory; less is better. *Min*: minutes to train and try one "
    "policy, the median, on a machine that also had other work at times."
)
_ABOUT_DIFFERENCES = (
    f"In the last {LAST} episodes, hidden task by hidden task. {ABOUT_VERDICTS} With so few training seeds an interval "
    "is too narrow: the bootstrap cannot know what another training seed would give."
)


def find(budget: Budget, workshop: Workshop) -> Results:
    """Train and try each system on each task."""
    outcomes = workshop.finish(_cells(budget))
    found = by_name(outcomes)

    def rows() -> Iterator[tuple[object, ...]]:
        yield from return_rows(outcomes)
        yield from zeroed_rows(outcomes)
        yield from yardstick_rows(outcomes)
        for (task, name), sides in found.items():
            yield value_row(task, name, LOSS, compare.loss(sides))
            yield value_row(task, name, MINUTES, compare.minutes(sides))
        for task in grid_cells.TASKS[budget]:
            of_task = [one for one in outcomes if one.cell.task == task]
            yield value_row(task, "", CORRELATION, compare.correlation(of_task))

    return results_of(rows(), episodes_of(outcomes[0]))


def page(budget: Budget, results: Results) -> Page:
    """Compare the systems on one page."""
    found = GridReturns(results)
    ours = {task: [name for name in found.policies(task) if name in _OURS] for task in found.tasks}
    rivals = {task: [name for name in found.policies(task) if name not in _OURS] for task in found.tasks}

    def returns() -> Iterator[tuple[str, ...]]:
        for task in found.tasks:
            for model in found.policies(task):
                side = found.returns(task, model)
                figure = paper.GRID_WORLD.get(task, {}).get(model)
                yield (
                    task,
                    model,
                    str(compare.first(side)),
                    str(compare.last(side)),
                    str(compare.last(found.returns(task, model, ZEROED))),
                    "-" if figure is None else f"{figure:g}",
                    f"{found.value(task, model, LOSS):.3f}",
                    f"{found.value(task, model, MINUTES):.1f}",
                )
            for name in YARDSTICKS:
                yield task, name, "", str(compare.last(found.yardstick(task, name))), "", "", "", ""

    def differences() -> Iterator[tuple[str, ...]]:
        for task in found.tasks:
            for one in ours[task]:
                for rival in rivals[task]:
                    above = compare.difference(found.returns(task, one), found.returns(task, rival))
                    yield task, one, rival, str(above), above.verdict

    verdicts = [
        compare.sentence(
            task, "dm-h", rival, compare.difference(found.returns(task, "dm-h"), found.returns(task, rival))
        )
        for task in found.tasks
        for rival in rivals[task]
    ]
    edge = f"last {LAST}"
    headings = ("task", "system", "episode 1", edge, f"{edge}, memory zeroed", "paper", "loss", "min")
    correlations = "; ".join(_by_loss(found, task) for task in found.tasks)
    panels = [
        compare.panel(
            task,
            {model: found.returns(task, model) for model in found.policies(task)}
            | {name: found.yardstick(task, name) for name in YARDSTICKS},
        )
        for task in found.tasks
    ]
    return Page(
        title="Grid World: learning in context",
        asked=f"Return per episode of DM-H and its rivals: {grid_cells.sample(budget, found)}. All systems of a task "
        "have the same data and, where a row does not say otherwise, as many updates: "
        f"{grid_cells.training(_cells(budget))}.",
        verdicts=verdicts,
        body=[
            "## Return",
            table(headings, returns()),
            _ABOUT_RETURNS,
            f"Correlation of loss and return over all policies of a task: {correlations}.",
            "## DM-H minus rival",
            table(("task", "DM-H", "rival", "difference", "DM-H is"), differences()),
            _ABOUT_DIFFERENCES,
        ],
        pictures={"gridworld": ("Return per episode by task", panels)},
    )


def _cells(budget: Budget) -> list[Cell]:
    return [
        cell
        for task in grid_cells.TASKS[budget]
        for name in (*_ours(budget, task), *_RIVALS[budget])
        for cell in grid_cells.cells(budget, task, name.split(",")[0], name, _OURS.get(name))
    ]


def _by_loss(found: GridReturns, task: str) -> str:
    """Correlation of loss and return over the policies of a task, in words."""
    value = found.value(task, "", CORRELATION)
    if value is None:
        return f"{task}: all alike"
    return f"{task} {value:.2f} over {sum(len(found.returns(task, name)) for name in found.policies(task))} policies"


def _ours(budget: Budget, task: str) -> tuple[str, ...]:
    """The variants of DM-H that are tried on a task; without the drawn sub-goal where the preset draws it already."""
    drawn = load(task, settings=(f"{name}={value}" for name, value in grid_cells.DRAWN.items())).model
    draws = load(task).model == drawn
    return tuple(name for name in _OURS_OF[budget] if not (draws and _OURS[name] == grid_cells.DRAWN))


STUDY = Study("gridworld", find, page)
