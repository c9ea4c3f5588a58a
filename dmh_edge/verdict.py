"""The verdict on an evaluation, in words: does the policy learn in context, how much, and for how long?"""

from __future__ import annotations

import numpy as np

from dmh_edge.evaluate import FORGETFUL, Curve, Evaluation, Returns, edge_of
from dmh_edge.intervals import Interval, intervals


def verdict(found: Evaluation, trained_episodes: int | None = None) -> list[str]:
    """Say what an evaluation shows, one sentence each.

    Args:
        found: the evaluation.
        trained_episodes: episodes of the contexts that the policy was trained on; None if that is not known.
    """
    returns = {curve.name: np.array(curve.returns) for curve in found.curves}  # [seeds, tasks, episodes]
    policy = returns[found.curves[0].name]
    edge = edge_of(policy.shape[-1])
    when = f"the last {edge} episodes" if edge > 1 else "the last episode"
    said = []
    if FORGETFUL in returns and policy.shape[-1] > 1:
        said.append(_memory(_last(policy, edge), _last(returns[FORGETFUL], edge), when))
        if "expert" in returns and said[0].endswith("learns in context."):
            forgetful, reached, expert = (
                _last(one, edge).mean() for one in (returns[FORGETFUL], policy, returns["expert"])
            )
            share = (reached - forgetful) / (expert - forgetful) if expert > forgetful else 1.0
            said.append(f"That is {share:.0%} of the way from the policy without memory to the expert.")
    said.append(_improvement(found.curves[0], edge))
    if fall := _fall(policy, edge):
        said.append(fall + _as_trained(policy.shape[-1], trained_episodes))
    return said


def _memory(policy: Returns, forgetful: Returns, when: str) -> str:
    """Say what memory is worth: the policy's returns minus those of the same policy without memory."""
    worth = _mean(policy - forgetful)
    if worth.low > 0:
        return f"Memory is worth {worth} of return in {when}: it learns in context."
    if worth.high < 0:
        return f"Memory is worth {worth} of return in {when}: the policy is better without it."
    return f"Memory is worth {worth} of return in {when}: nothing that these runs can tell."


def _improvement(policy: Curve, edge: int) -> str:
    first = f"the first {edge} episodes" if edge > 1 else "the first episode"
    gain = policy.improvement
    said = f"From {first} to the last, the return changes by {gain}"
    return f"{said}." if gain.low > 0 or gain.high < 0 else f"{said}: no change that these runs can tell."


def _fall(policy: Returns, edge: int) -> str:
    """Say from which episode on returns fall, if the last episodes are measurably below the best ones before them."""
    count = policy.shape[-1]
    level = np.stack([policy[..., first : first + edge].mean(-1) for first in range(count - edge + 1)], -1)
    best = int(level.mean((0, 1)).argmax())
    below = [one.high < 0 for one in intervals(level - level[..., best, None])]
    end = max(first for first, lower in enumerate(below) if not lower)  # of the plateau
    if end + 2 * edge > count:
        return ""
    lost = _mean(level[..., -1] - level[..., best])
    return (
        f"Returns fall after episode {end + edge}: the last {edge} episodes are {lost} from episodes {best + 1} to "
        f"{best + edge}."
    )


def _as_trained(episodes: int, trained: int | None) -> str:
    if trained is None or episodes <= trained:
        return ""
    return f" Contexts in training had {trained} episodes; train on longer ones, or let it forget earlier."


def _last(returns: Returns, edge: int) -> Returns:
    """Return the mean of the last episodes, ``[seeds, tasks]``."""
    mean: Returns = returns[..., -edge:].mean(-1)
    return mean


def _mean(values: Returns) -> Interval:
    """Return the mean of ``[seeds, tasks]`` and its interval."""
    return intervals(values[..., None])[0]
