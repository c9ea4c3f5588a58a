"""Which settings are good: each changed alone, on hidden tasks kept for that, as many of the rivals as of DM-H."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dmh_edge.evaluate import intervals
from dmh_edge.plots import per_episode
from dmh_edge.studies import grid
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.page import Page, table
from dmh_edge.studies.study import SMOKE, Budget, Study, Workshop, by_name, settings

_SYSTEMS = ("dm-h", "ad-mamba", "ad-transformer")
_TASK = "darkroom"
_PRESET = "the preset"
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
#: Kept from the data, episodes, and passes of a trial; training seeds.
_TRIALS = {"smoke": (2, 3, 1), "cpu": (10, 20, 3), "full": (10, 20, 3)}
_SEEDS = {"smoke": 1, "cpu": 1, "full": 3}
_CPU = {"data.batch": 8, "training.updates": 600, "training.device": "cpu"}
_BASE: Mapping[Budget, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": _CPU, "full": {"training.device": "auto"}}
_ABOUT = (
    f"Means over the last {grid.LAST} episodes with 95% intervals, bootstrapped over training seeds and hidden tasks; "
    "differences are taken hidden task by hidden task. With one training seed an interval does not know what another "
    "seed would do: differences smaller than those between seeds (see gridworld) say nothing."
)


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train each system with each change, and hold it against the preset."""
    changes = {model: {_PRESET: {}, **_changes(budget, model)} for model in _SYSTEMS}
    cells = [
        cell
        for model, named in changes.items()
        for name, change in named.items()
        for cell in _cells(budget, model, name, change)
    ]
    outcomes = workshop.finish(cells)
    found = {name: sides for (_, name), sides in by_name(outcomes).items()}

    def rows(model: str) -> Iterator[tuple[str, ...]]:
        preset = found[_named(model, _PRESET)]
        for name in changes[model]:
            side = found[_named(model, name)]
            above = grid.difference(side, preset)
            compared = ("", "") if name == _PRESET else (str(above), grid.verdict(above))
            yield name, str(grid.last(side)), *compared

    def best(model: str) -> str:
        by_return = {name: grid.last(found[_named(model, name)]).mean for name in changes[model]}
        name = max(by_return, key=lambda one: by_return[one])
        return f"{model}: best of {len(by_return)} is {name!r}, {grid.last(found[_named(model, name)])}."

    kept, episodes, passes = _TRIALS[budget]
    panels = [
        per_episode(
            model,
            {name: intervals(grid.returns(found[_named(model, name)])) for name in changes[model]},
        )
        for model in _SYSTEMS
    ]
    return Page(
        title="Tuning: settings changed one at a time",
        asked=f"Return in {_TASK} on {kept} hidden tasks that training did not see (`data.hold_out`) and that are not "
        f"those which the other studies try: {passes} passes of {episodes} episodes, {_SEEDS[budget]} training seeds. "
        f"{grid.training(outcomes)}, but for the changes.",
        verdicts=[best(model) for model in _SYSTEMS],
        body=[
            *(
                block
                for model in _SYSTEMS
                for block in (
                    f"## {model}",
                    table(("change", f"last {grid.LAST}", "minus the preset", "it is"), rows(model)),
                )
            ),
            _ABOUT,
        ],
        pictures={"tuning": ("Return per episode by change", panels)},
        columns=grid.CSV_COLUMNS,
        rows=grid.csv_rows(outcomes),
    )


def _changes(budget: Budget, model: str) -> dict[str, Mapping[str, Any]]:
    every = {**_FOR_ALL, **_OF_ONE[model]}
    return dict(list(every.items())[:1]) if budget == "smoke" else every


def _named(model: str, name: str) -> str:
    return f"{model}, {name}"


def _cells(budget: Budget, model: str, name: str, change: Mapping[str, Any]) -> list[Cell]:
    kept, episodes, passes = _TRIALS[budget]
    wanted = settings(_TASK, model, {**_BASE[budget], "data.hold_out": kept, **change})
    trial = Trial(task=_TASK, tasks=kept, episodes=episodes, seeds=passes, validation=True, alone=True)
    return [
        Cell(name=_named(model, name), task=_TASK, model=model, settings=wanted, seed=seed, trials=(trial,))
        for seed in range(_SEEDS[budget])
    ]


STUDY = Study("tuning", run)
