"""The policies of the studies on Grid World: tasks and training seeds by budget, and how each policy is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dmh_edge.config import RunConfig
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.grid_returns import GridReturns
from dmh_edge.studies.study import FULL, SMOKE, Budget, settings

TASKS = {
    "smoke": ("darkroom",),
    "cpu": ("darkroom", "darkroom-hard", "key-to-door"),
    "full": (
        "darkroom",
        "darkroom-hard",
        "darkroom-dynamic",
        "key-to-door",
        "large-darkroom",
        "large-darkroom-hard",
        "large-darkroom-dynamic",
        "large-key-to-door",
    ),
}
#: Number of training seeds of each policy.
SEEDS = {"smoke": 2, "cpu": 3, "full": 3}
#: Hidden tasks, episodes and passes of a trial; the paper rolls out 20 episodes.
_TRIALS = {"smoke": (2, 3, 1), "cpu": (32, 20, 2), "full": (64, 20, 3)}
#: Half the preset's batch, which takes half the time and loses little: on darkroom's validation goals the return after
#: 1,000 updates was 10.25 [6.26, 13.67] with 8 contexts and 10.59 [6.55, 14.28] with 16
#: (`dmh-edge train darkroom --set data.hold_out=10 --set data.batch=8`).
_CPU = {"data.batch": 8, "training.updates": 1_000, "training.device": "cpu"}
_SETTINGS: Mapping[Budget, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": _CPU, "full": FULL}

#: Draws the sub-goal of DM-H, as in the paper, also where the preset of a task does not.
DRAWN: Mapping[str, Any] = {"model.subgoal_noise": 1}
#: Takes the mean of that draw as the sub-goal, as the presets of small rooms do.
MEAN: Mapping[str, Any] = {"model.subgoal_noise": 0}


def cells(budget: Budget, task: str, model: str, name: str, changes: Mapping[str, Any] | None = None) -> list[Cell]:
    """The cells of one policy, one for each training seed.

    Args:
        budget: budget that sets the size of the models, the updates and the trials.
        task: name of the task that the policy learns.
        model: kind of model.
        name: name of the policy on the page.
        changes: settings that the study compares.
    """
    tasks, episodes, passes = _TRIALS[budget]
    trial = Trial(task=task, tasks=tasks, episodes=episodes, seeds=passes)
    wanted = settings(task, model, {**_SETTINGS[budget], **(changes or {})})
    return [
        Cell(name=name, task=task, model=model, settings=wanted, seed=seed, trials=(trial,))
        for seed in range(SEEDS[budget])
    ]


def sample(budget: Budget, found: GridReturns) -> str:
    """The seeds, passes, episodes and tasks that the figures are means over, in words."""
    sizes = [found.returns(task, found.policies(task)[0]).shape for task in found.tasks]
    seeds, most, episodes = sizes[0][0], max(hidden for _, hidden, _ in sizes), sizes[0][2]
    return (
        f"{seeds} training seeds, {_TRIALS[budget][2]} passes of {episodes} episodes over at most {most} held-out "
        "tasks that no data set holds, actions sampled, no updates"
    )


def training(policies: Iterable[Cell]) -> str:
    """How the first policy of each task is trained, in words."""
    by_task: dict[str, RunConfig] = {}
    for cell in policies:
        if cell.task not in by_task:
            by_task[cell.task] = cell.config
    told = [
        f"{task}: {config.training.updates:,} updates of {config.data.batch} contexts of "
        f"{config.data.episodes_per_context} episodes"
        for task, config in by_task.items()
    ]
    return "; ".join(told)
