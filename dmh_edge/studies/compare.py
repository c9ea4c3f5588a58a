"""Comparisons of policies on Grid World, from their returns ``[training seeds, hidden tasks, episodes]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dmh_edge.evaluate import Returns
from dmh_edge.intervals import Interval, intervals
from dmh_edge.plots import Panel, per_episode
from dmh_edge.studies.bootstrap import Difference, interval
from dmh_edge.studies.cell import Outcome
from dmh_edge.studies.grid_returns import LAST


def first(returns: Returns) -> Interval:
    """Return in the first episode, when the policy knows nothing of the task."""
    return interval(returns[..., :1])


def last(returns: Returns) -> Interval:
    """Return in the last episodes."""
    return interval(returns[..., -LAST:])


def difference(ours: Returns, theirs: Returns) -> Difference:
    """How far our returns are above theirs in the last episodes, hidden task by hidden task."""
    return Difference.of(ours[..., -LAST:] - theirs[..., -LAST:])


def loss(outcomes: Sequence[Outcome]) -> float:
    """Loss at the end of the training, the mean over training seeds."""
    return float(np.mean([one.loss for one in outcomes]))


def minutes(outcomes: Sequence[Outcome]) -> float:
    """Minutes to train and try one policy, the median over training seeds."""
    return float(np.median([one.spent.seconds for one in outcomes])) / 60


def correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Correlation of loss and return over the policies; None where all have the same loss or the same return."""
    found = np.array(
        [(one.loss, np.array(one.evaluations[0].curves[0].returns)[..., -LAST:].mean()) for one in outcomes]
    )
    return None if 0 in np.ptp(found, 0) else float(np.corrcoef(found.T)[0, 1])


def sentence(task: str, one: str, other: str, found: Difference) -> str:
    """The verdict on a task as a sentence; ``found`` is the return of one side minus the return of the other."""
    if found.verdict == "not told apart":
        return f"{task}: {one} and {other} are not told apart; the difference is {found}."
    return f"{task}: {one} is {found.verdict} {other} beyond the 95% interval of the difference, {found}."


def panel(title: str, sides: Mapping[str, Returns]) -> Panel:
    """A panel with the return per episode of some agents."""
    return per_episode(title, {name: intervals(returns) for name, returns in sides.items()})
