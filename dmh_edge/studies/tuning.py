"""Which settings are good? Each is changed alone and tried on hidden tasks that are kept for this.

All systems have the same number of changes. One training seed shows little. Therefore the best changes are tried again
with a second seed, alone and together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dmh_edge.studies import compare, grid_cells
from dmh_edge.studies.bootstrap import ABOUT_VERDICTS
from dmh_edge.studies.cell import Cell, Outcome, Trial
from dmh_edge.studies.grid_returns import LAST, GridReturns, episodes_of, results_of, return_rows
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import SMOKE, Budget, Study, Workshop, settings
from dmh_edge.studies.study_page import Page, table

_SYSTEMS = ("dm-h", "ad-mamba", "ad-transformer")
_TASK = "darkroom"
#: Name of the settings that each change starts from. The preset of DM-H is the best that was found from there.
_START = "the start"
#: Number of changes that are tried again, alone and together.
_BEST = 2
_FOR_ALL: Mapping[str, Mapping[str, Any]] = {
    "labels: the behaviour's own actions": {"data.label": "behaviour"},
    "loss on the last episode of a context": {"data.learn": "last"},
    "cells one-hot": {"model.levels": "one-hot"},
    "learning rate 1e-3": {"training.learning_rate": 1e-3},
    "learning rate 6e-3": {"training.learning_rate": 6e-3},
    "learning rate constant": {"training.schedule": "constant"},
    "contexts of 6 episodes, 20 at test": {"data.episodes_per_context": 6, "model.window_episodes": 6},
    "contexts of 20 episodes": {"data.episodes_per_context": 20, "model.window_episodes": 20},
}
_RECURRENT = {"state of 16": {"model.state_size": 16}}
#: Changes of what only one system has, beside the changes for all; the same number for each system.
_OF_ONE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "dm-h": {
        "return-to-go read by the memory": {"model.return_conditioned": True},
        "sub-goal not drawn": {"model.subgoal_noise": 0},
    },
    "ad-mamba": {**_RECURRENT, "3 layers": {"model.layers": 3}},
    "ad-transformer": {"8 heads": {"model.heads": 8}, "3 layers": {"model.layers": 3}},
}
#: Hidden tasks that are kept from the data, episodes and passes of a trial.
_TRIALS = {"smoke": (2, 3, 1), "cpu": (10, 20, 3), "full": (10, 20, 3)}
#: Numbers of training seeds in the first and in the second round.
_SEEDS = {"smoke": (1, 2), "cpu": (1, 2), "full": (1, 3)}
_CPU = {"data.batch": 8, "training.updates": 600, "training.device": "cpu"}
_BASE: Mapping[Budget, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": _CPU, "full": {"training.device": "auto"}}
_ABOUT = (
    f"Means over the last {LAST} episodes with 95% intervals, bootstrapped over training seeds and hidden "
    f"tasks; differences are taken hidden task by hidden task. {ABOUT_VERDICTS} With one training seed an interval "
    "cannot know what another training seed would give: a difference that is smaller than those between training "
    "seeds (see gridworld) says nothing."
)

_CHOSEN = "The changes were chosen by their results with the first training seed, so this seed favours them."
_HEADINGS = ("change", f"last {LAST}", "minus the start", "it is")


def find(budget: Budget, workshop: Workshop) -> Results:
    """Train each system with each change, and try the best changes again."""
    first_seeds, seeds = _SEEDS[budget]
    changes = _all_changes(budget)
    outcomes = workshop.finish(_cells(budget, changes, first_seeds))
    found = GridReturns(_results(outcomes))
    again = {model: _again(changes[model], _ranked(found, model, changes[model])) for model in _SYSTEMS}
    known = {one.cell for one in outcomes}
    return _results([*outcomes, *workshop.finish([cell for cell in _cells(budget, again, seeds) if cell not in known])])


def page(budget: Budget, results: Results) -> Page:
    """Compare each change with the start on one page, in the first round and in the second."""
    first_seeds, seeds = _SEEDS[budget]
    found, changes = GridReturns(results), _all_changes(budget)
    again = {model: _again(changes[model], _ranked(found, model, changes[model], first_seeds)) for model in _SYSTEMS}

    def rows(model: str, names: Iterable[str], of_seeds: int) -> Iterator[tuple[str, ...]]:
        start = found.returns(_TASK, _named(model, _START))[:of_seeds]
        for name in names:
            side = found.returns(_TASK, _named(model, name))[:of_seeds]
            above = compare.difference(side, start)
            compared = ("", "") if name == _START else (str(above), above.verdict)
            yield name, str(compare.last(side)), *compared

    def best(model: str) -> str:
        name = _ranked(found, model, again[model])[0]
        mean = compare.last(found.returns(_TASK, _named(model, name)))
        return f"{model}: of {len(changes[model])} tried, and the best {_BEST} tried again, {name!r} is best, {mean}."

    kept, episodes, passes = _TRIALS[budget]
    panels = [
        compare.panel(model, {name: found.returns(_TASK, _named(model, name))[:first_seeds] for name in changes[model]})
        for model in _SYSTEMS
    ]
    return Page(
        title="Tuning: settings changed one at a time",
        asked=f"Return in {_TASK} on {kept} hidden tasks that training did not see (`data.hold_out`) and that the "
        f"other studies do not try: {passes} passes of {episodes} episodes, training seeds: {first_seeds}. "
        f"{grid_cells.training(_cells(budget, changes, 1))}, except where a change says otherwise. *The start* are "
        "settings with which each system learns; the sub-goal of DM-H is drawn there, as in the paper.",
        verdicts=[best(model) for model in _SYSTEMS],
        body=[
            *(
                block
                for model in _SYSTEMS
                for block in (f"## {model}", table(_HEADINGS, rows(model, changes[model], first_seeds)))
            ),
            _ABOUT,
            "## What was best, tried again",
            f"The start, the {_BEST} best changes, and these together; training seeds: {seeds}. " + _CHOSEN,
            *(
                block
                for model in _SYSTEMS
                for block in (f"### {model}", table(_HEADINGS, rows(model, again[model], seeds)))
            ),
        ],
        pictures={"tuning": ("Return per episode by change", panels)},
    )


def _results(outcomes: Sequence[Outcome]) -> Results:
    return results_of(return_rows(outcomes), episodes_of(outcomes[0]))


def _all_changes(budget: Budget) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The start and the changes of the first round, by system."""
    return {model: {_START: {}, **_changes(budget, model)} for model in _SYSTEMS}


def _changes(budget: Budget, model: str) -> dict[str, Mapping[str, Any]]:
    every = {**_FOR_ALL, **_OF_ONE[model]}
    return dict(list(every.items())[:2]) if budget == "smoke" else every


def _named(model: str, name: str) -> str:
    return f"{model}, {name}"


def _ranked(found: GridReturns, model: str, names: Iterable[str], seeds: int | None = None) -> list[str]:
    """The changes, the highest return first; it is the mean over the first ``seeds`` training seeds, or over all."""
    return sorted(names, key=lambda name: -compare.last(found.returns(_TASK, _named(model, name))[:seeds]).mean)


def _again(changes: Mapping[str, Mapping[str, Any]], ranked: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What is tried in the second round: the start, the best changes, and these together."""
    best: list[str] = []
    for name in ranked:  # two values of one setting cannot be combined
        if name != _START and not any(changes[name].keys() & changes[one].keys() for one in best):
            best.append(name)
    best = best[:_BEST]
    together = {name: value for one in best for name, value in changes[one].items()}
    return {_START: {}, **{name: changes[name] for name in best}, "; ".join(best): together}


def _cells(budget: Budget, changes: Mapping[str, Mapping[str, Mapping[str, Any]]], seeds: int) -> list[Cell]:
    kept, episodes, passes = _TRIALS[budget]
    trial = Trial(task=_TASK, tasks=kept, episodes=episodes, seeds=passes, validation=True, alone=True)
    base = {**_BASE[budget], **grid_cells.DRAWN, "data.hold_out": kept}
    return [
        Cell(
            name=_named(model, name),
            task=_TASK,
            model=model,
            settings=settings(_TASK, model, {**base, **change}),
            seed=seed,
            trials=(trial,),
        )
        for model, named in changes.items()
        for name, change in named.items()
        for seed in range(seeds)
    ]


STUDY = Study("tuning", find, page)
