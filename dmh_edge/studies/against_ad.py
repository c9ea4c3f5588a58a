"""Does DM-H learn faster in context than its rivals, on the same data and with as many updates?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dmh_edge.presets import load
from dmh_edge.studies import compare, paper
from dmh_edge.studies.study import Budget, Study, Workshop, by_name
from dmh_edge.studies.study_page import Page, table

_RIVALS = {
    "smoke": ("ad-mamba", "ad-transformer"),
    "cpu": ("ad-mamba", "ad-transformer"),
    "full": ("ad-mamba", "ad-transformer", "dm", "dt", "bc"),
}
#: DM-H as its preset is, where the sub-goal is the mean; with a draw for sub-goal, whose noise its actor must bear;
#: with a memory that reads every step, as those of its rivals do; and with four times the updates, at which it takes
#: about as long as the slowest of them.
_OURS: Mapping[str, Mapping[str, Any]] = {
    "dm-h": {},
    "dm-h, drawn sub-goal": compare.DRAWN,
    "dm-h, c = 1": {"model.chunk": 1},
    "dm-h, 4,000 updates": {"training.updates": 4_000},
}
_OURS_OF = {"smoke": tuple(_OURS)[:2], "cpu": tuple(_OURS), "full": tuple(_OURS)[:3]}

_ABOUT_RETURNS = (
    "Means and 95% intervals, bootstrapped over training seeds and hidden tasks, in the first episode and in the last "
    f"{compare.LAST}. *Memory zeroed*: the same policy made to forget at each episode; what it cannot do then, it had "
    "learned in context. The expert knows what is hidden: the optimum. The paper's figures are read off its plots at "
    "episode 20. *Loss*: how well the policies imitated at the end of their training, of DM-H prompted by its memory's "
    "sub-goal; less is better. *Min*: how long a policy took to be trained and tried, the median, by the clock of a "
    "machine that had other work now and then."
)
_ABOUT_DIFFERENCES = (
    f"In the last {compare.LAST} episodes, hidden task by hidden task. With so few training seeds a bootstrap is "
    "narrow: it cannot know what another seed would do."
)


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train each system on each task, and set them side by side."""
    tasks, rivals = compare.TASKS[budget], _RIVALS[budget]
    ours = {task: _ours(budget, task) for task in tasks}
    systems = {task: (*ours[task], *rivals) for task in tasks}
    cells = [
        cell
        for task in tasks
        for name in systems[task]
        for cell in compare.cells(budget, task, name.split(",")[0], name, _OURS.get(name))
    ]
    outcomes = workshop.finish(cells)
    found = by_name(outcomes)

    def returns() -> Iterator[tuple[str, ...]]:
        for task in tasks:
            for model in systems[task]:
                sides = found[task, model]
                figure = paper.GRID_WORLD.get(task, {}).get(model)
                yield (
                    task,
                    model,
                    str(compare.first(sides)),
                    str(compare.last(sides)),
                    str(compare.last(sides, 1)),
                    "-" if figure is None else f"{figure:g}",
                    f"{compare.loss(sides):.3f}",
                    f"{compare.minutes(sides):.1f}",
                )
            for name, curve in (("expert", 2), ("random", 3)):
                yield task, name, "", str(compare.last(found[task, "dm-h"], curve)), "", "", "", ""

    def differences() -> Iterator[tuple[str, ...]]:
        for task in tasks:
            for one in ours[task]:
                for rival in rivals:
                    above = compare.difference(found[task, one], found[task, rival])
                    yield task, one, rival, str(above), compare.verdict(above)

    verdicts = [
        compare.sentence(task, "dm-h", rival, compare.difference(found[task, "dm-h"], found[task, rival]))
        for task in tasks
        for rival in rivals
    ]
    edge = f"last {compare.LAST}"
    headings = ("task", "system", "episode 1", edge, f"{edge}, memory zeroed", "paper", "loss", "min")
    goes_with = "; ".join(compare.by_loss(task, outcomes) for task in tasks)
    panels = [
        compare.panel(task, {model: found[task, model] for model in systems[task]}, yardsticks=True) for task in tasks
    ]
    return Page(
        title="Grid World: learning in context",
        asked=f"Return per episode of DM-H and its rivals: {compare.sample(outcomes)}. All systems of a task have the "
        f"same data and, where a row does not say otherwise, as many updates: {compare.training(outcomes)}.",
        verdicts=verdicts,
        body=[
            "## Return",
            table(headings, returns()),
            _ABOUT_RETURNS,
            f"Correlation of loss and return, policy by policy over all systems together: {goes_with}.",
            "## DM-H minus rival",
            table(("task", "DM-H", "rival", "difference", "DM-H is"), differences()),
            _ABOUT_DIFFERENCES,
        ],
        pictures={"gridworld": ("Return per episode by task", panels)},
        columns=compare.CSV_COLUMNS,
        rows=compare.csv_rows(outcomes),
    )


def _ours(budget: Budget, task: str) -> tuple[str, ...]:
    """What is tried of DM-H; without the draw for a second time where the preset of a task draws."""
    draws = load(task).model == load(task, settings=(f"{name}={value}" for name, value in compare.DRAWN.items())).model
    return tuple(name for name in _OURS_OF[budget] if not (draws and _OURS[name] == compare.DRAWN))


STUDY = Study("gridworld", run)
