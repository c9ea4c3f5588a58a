"""What the studies on Grid World share: tasks and seeds by budget, cells, and comparisons of what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dmh_edge.config import RunConfig
from dmh_edge.evaluate import FORGETFUL, Returns
from dmh_edge.intervals import Interval, intervals
from dmh_edge.plots import Panel, per_episode
from dmh_edge.studies.cell import Cell, Outcome, Trial
from dmh_edge.studies.study import FULL, SMOKE, Budget, settings

#: Episodes at the end of a trial that a policy is judged by.
LAST = 3

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
#: Of training.
SEEDS = {"smoke": 2, "cpu": 3, "full": 3}
#: Hidden tasks, episodes and passes of a trial; the paper rolls out 20 episodes.
_TRIALS = {"smoke": (2, 3, 1), "cpu": (32, 20, 2), "full": (64, 20, 3)}
#: Half the preset's batch: on darkroom's goals for validation, 1,000 updates of 8 contexts came to 10.25 [6.26, 13.67],
#: of 16 to 10.59 [6.55, 14.28], in half the time (`dmh-edge train darkroom --set data.hold_out=10 --set data.batch=8`).
_CPU = {"data.batch": 8, "training.updates": 1_000, "training.device": "cpu"}
_SETTINGS: Mapping[Budget, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": _CPU, "full": FULL}

#: The sub-goal of DM-H is a draw, as in the paper, whatever the preset of a task says.
DRAWN: Mapping[str, Any] = {"model.subgoal_noise": 1}
#: It is the mean of that, as in small rooms.
MEAN: Mapping[str, Any] = {"model.subgoal_noise": 0}
CSV_COLUMNS = ("task", "policy", "training_seed", "pass", "hidden", "episode", "return")


def cells(budget: Budget, task: str, model: str, name: str, changes: Mapping[str, Any] | None = None) -> list[Cell]:
    """A policy of each training seed.

    Args:
        budget: how large and how long.
        task: what it learns.
        model: its kind.
        name: what the page calls it.
        changes: settings that the study is about.
    """
    tasks, episodes, passes = _TRIALS[budget]
    trial = Trial(task=task, tasks=tasks, episodes=episodes, seeds=passes)
    wanted = settings(task, model, {**_SETTINGS[budget], **(changes or {})})
    return [
        Cell(name=name, task=task, model=model, settings=wanted, seed=seed, trials=(trial,))
        for seed in range(SEEDS[budget])
    ]


def returns(outcomes: Sequence[Outcome], curve: int = 0) -> Returns:
    """Returns ``[training seeds, hidden tasks, episodes]`` of a policy, means over the passes.

    Args:
        outcomes: of all training seeds.
        curve: 0 the policy, 1 the same with its memory zeroed, 2 the expert, 3 a random policy.
    """
    return np.stack([np.array(one.evaluations[0].curves[curve].returns).mean(0) for one in outcomes])


def first(outcomes: Sequence[Outcome]) -> Interval:
    """Return in the first episode, about which nothing is known."""
    return _mean(returns(outcomes)[..., :1])


def last(outcomes: Sequence[Outcome], curve: int = 0) -> Interval:
    """Return in the last episodes."""
    return _mean(returns(outcomes, curve)[..., -LAST:])


def difference(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> Interval:
    """By how much ours is above theirs in the last episodes, hidden task by hidden task."""
    return _mean(returns(ours)[..., -LAST:] - returns(theirs)[..., -LAST:])


def loss(outcomes: Sequence[Outcome]) -> float:
    """How well policies imitated at the end of their training, the mean over training seeds."""
    return float(np.mean([one.loss for one in outcomes]))


def minutes(outcomes: Sequence[Outcome]) -> float:
    """How long one policy took to be trained and tried, the median over training seeds."""
    return float(np.median([one.spent.seconds for one in outcomes])) / 60


def by_loss(task: str, outcomes: Sequence[Outcome]) -> str:
    """How far the return of a task's policies goes with how well they imitated."""
    found = np.array([(one.loss, returns([one])[..., -LAST:].mean()) for one in outcomes if one.cell.task == task])
    if 0 in np.ptp(found, 0):
        return f"{task}: all alike"
    return f"{task} {np.corrcoef(found.T)[0, 1]:.2f} over {len(found)} policies"


def verdict(found: Interval) -> str:
    """What a difference allows to say."""
    if found.low > 0:
        return "above"
    return "below" if found.high < 0 else "not told apart"


def sentence(task: str, one: str, other: str, found: Interval) -> str:
    """The verdict on a task, given the difference of one and the other."""
    if verdict(found) == "not told apart":
        return f"{task}: {one} and {other} are not told apart; the difference is {found}."
    return f"{task}: {one} is {verdict(found)} {other} beyond the 95% interval of the difference, {found}."


def panel(title: str, sides: Mapping[str, Sequence[Outcome]], yardsticks: bool) -> Panel:
    """Return by episode of some policies, with the expert and a random policy beside them if need be."""
    curves = {name: intervals(returns(outcomes)) for name, outcomes in sides.items()}
    if yardsticks:
        any_side = next(iter(sides.values()))
        curves |= {"expert": intervals(returns(any_side, 2)), "random": intervals(returns(any_side, 3))}
    return per_episode(title, curves)


def csv_rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[object, ...]]:
    """Every return of every episode: of the policies, and of their forgetful twins."""
    for one in outcomes:
        found = one.evaluations[0]
        for curve, suffix in zip(found.curves, ("", f", {FORGETFUL}"), strict=False):  # no twin where it was alone
            for seed, by_task in zip(found.seeds, curve.returns, strict=True):
                for hidden, row in zip(found.hidden, by_task, strict=True):
                    for episode, value in enumerate(row, 1):
                        yield (
                            one.cell.task,
                            one.cell.name + suffix,
                            one.cell.seed,
                            seed,
                            hidden,
                            episode,
                            round(value, 4),
                        )


def sample(outcomes: Sequence[Outcome]) -> str:
    """What the figures are means over."""
    found = outcomes[0].evaluations[0]
    episodes = len(found.curves[0].per_episode)
    seeds = len({one.cell.seed for one in outcomes})
    most = max(len(one.evaluations[0].hidden) for one in outcomes)
    return (
        f"{seeds} training seeds, {len(found.seeds)} passes of {episodes} episodes over at most {most} held-out tasks "
        "that no data set holds, actions sampled, no updates"
    )


def training(outcomes: Sequence[Outcome]) -> str:
    """How the policies were trained."""
    by_task: dict[str, RunConfig] = {}
    for one in outcomes:
        by_task.setdefault(one.cell.task, one.cell.config)
    told = [
        f"{task}: {config.training.updates:,} updates of {config.data.batch} contexts of "
        f"{config.data.episodes_per_context} episodes"
        for task, config in by_task.items()
    ]
    return "; ".join(told)


def _mean(values: Returns) -> Interval:
    (found,) = intervals(values.mean(-1, keepdims=True))
    return found
