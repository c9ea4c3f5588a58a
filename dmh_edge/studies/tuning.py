"""Which settings are good: each changed alone, on hidden tasks kept for that, as many of the rivals as of DM-H.

One training seed tells little. What came out best is therefore tried again with a second seed, alone and together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dmh_edge.intervals import intervals
from dmh_edge.plots import per_episode
from dmh_edge.studies import compare
from dmh_edge.studies.cell import Cell, Outcome, Trial
from dmh_edge.studies.study import SMOKE, Budget, Study, Workshop, by_name, settings
from dmh_edge.studies.study_page import Page, table

_SYSTEMS = ("dm-h", "ad-mamba", "ad-transformer")
_TASK = "darkroom"
#: From where each system sets out. DM-H's preset of today is what was found from there.
_START = "the start"
#: Changes that are tried again, and together.
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
#: Beside those for all: what only that system has, and as many for each.
_OF_ONE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "dm-h": {
        "return-to-go read by the memory": {"model.return_conditioned": True},
        "sub-goal not drawn": {"model.subgoal_noise": 0},
    },
    "ad-mamba": {**_RECURRENT, "3 layers": {"model.layers": 3}},
    "ad-transformer": {"8 heads": {"model.heads": 8}, "3 layers": {"model.layers": 3}},
}
#: Kept from the data, episodes, and passes of a trial; training seeds of the first and of the second round.
_TRIALS = {"smoke": (2, 3, 1), "cpu": (10, 20, 3), "full": (10, 20, 3)}
_SEEDS = {"smoke": (1, 2), "cpu": (1, 2), "full": (1, 3)}
_CPU = {"data.batch": 8, "training.updates": 600, "training.device": "cpu"}
_BASE: Mapping[Budget, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": _CPU, "full": {"training.device": "auto"}}
_ABOUT = (
    f"Means over the last {compare.LAST} episodes with 95% intervals, bootstrapped over training seeds and hidden "
    "tasks; differences are taken hidden task by hidden task. With one training seed an interval does not know what "
    "another seed would do: differences smaller than those between seeds (see gridworld) say nothing."
)

_CHOSEN = "Those of the first round are among them: they chose the changes, and so speak in their favour."
_HEADINGS = ("change", f"last {compare.LAST}", "minus the start", "it is")


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train each system with each change, hold it against the start, and try what was best again."""
    first_seeds, seeds = _SEEDS[budget]
    changes = {model: {_START: {}, **_changes(budget, model)} for model in _SYSTEMS}
    outcomes = workshop.finish(_cells(budget, changes, first_seeds))
    found = {name: sides for (_, name), sides in by_name(outcomes).items()}
    again = {model: _again(changes[model], _ranked(found, model, changes[model])) for model in _SYSTEMS}
    known = {one.cell for one in outcomes}
    outcomes_again = workshop.finish([cell for cell in _cells(budget, again, seeds) if cell not in known])
    found_again = {name: sides for (_, name), sides in by_name([*outcomes, *outcomes_again]).items()}

    def rows(of: Mapping[str, Sequence[Outcome]], model: str, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
        start = of[_named(model, _START)]
        for name in names:
            side = of[_named(model, name)]
            above = compare.difference(side, start)
            compared = ("", "") if name == _START else (str(above), compare.verdict(above))
            yield name, str(compare.last(side)), *compared

    def best(model: str) -> str:
        name = _ranked(found_again, model, again[model])[0]
        mean = compare.last(found_again[_named(model, name)])
        return f"{model}: of {len(changes[model])} tried, and the best {_BEST} tried again, {name!r} is best, {mean}."

    kept, episodes, passes = _TRIALS[budget]
    panels = [
        per_episode(
            model,
            {name: intervals(compare.returns(found[_named(model, name)])) for name in changes[model]},
        )
        for model in _SYSTEMS
    ]
    return Page(
        title="Tuning: settings changed one at a time",
        asked=f"Return in {_TASK} on {kept} hidden tasks that training did not see (`data.hold_out`) and that are not "
        f"those which the other studies try: {passes} passes of {episodes} episodes, training seeds: {first_seeds}. "
        f"{compare.training(outcomes)}, but for the changes. Each system sets out from settings that work; the "
        "sub-goal of DM-H is drawn there, as in the paper.",
        verdicts=[best(model) for model in _SYSTEMS],
        body=[
            *(
                block
                for model in _SYSTEMS
                for block in (
                    f"## {model}",
                    table(_HEADINGS, rows(found, model, changes[model])),
                )
            ),
            _ABOUT,
            "## What was best, tried again",
            f"The start, the {_BEST} best changes, and these together; training seeds: {seeds}. " + _CHOSEN,
            *(
                block
                for model in _SYSTEMS
                for block in (f"### {model}", table(_HEADINGS, rows(found_again, model, again[model])))
            ),
        ],
        pictures={"tuning": ("Return per episode by change", panels)},
        columns=compare.CSV_COLUMNS,
        rows=compare.csv_rows([*outcomes, *outcomes_again]),
    )


def _changes(budget: Budget, model: str) -> dict[str, Mapping[str, Any]]:
    every = {**_FOR_ALL, **_OF_ONE[model]}
    return dict(list(every.items())[:2]) if budget == "smoke" else every


def _named(model: str, name: str) -> str:
    return f"{model}, {name}"


def _ranked(found: Mapping[str, Sequence[Outcome]], model: str, names: Iterable[str]) -> list[str]:
    """The changes, that of the highest return first."""
    return sorted(names, key=lambda name: -compare.last(found[_named(model, name)]).mean)


def _again(changes: Mapping[str, Mapping[str, Any]], ranked: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What is tried in the second round."""
    best: list[str] = []
    for name in ranked:  # two values of one setting cannot be had together
        if name != _START and not any(changes[name].keys() & changes[one].keys() for one in best):
            best.append(name)
    best = best[:_BEST]
    together = {name: value for one in best for name, value in changes[one].items()}
    return {_START: {}, **{name: changes[name] for name in best}, "; ".join(best): together}


def _cells(budget: Budget, changes: Mapping[str, Mapping[str, Mapping[str, Any]]], seeds: int) -> list[Cell]:
    kept, episodes, passes = _TRIALS[budget]
    trial = Trial(task=_TASK, tasks=kept, episodes=episodes, seeds=passes, validation=True, alone=True)
    base = {**_BASE[budget], **compare.DRAWN, "data.hold_out": kept}
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


STUDY = Study("tuning", run)
