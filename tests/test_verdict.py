"""What an evaluation shows, in words."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.evaluate import FORGETFUL, Curve, Evaluation
from dmh_edge.verdict import verdict

EPISODES = 12


def evaluation(**returns: list[float]) -> Evaluation:
    """An evaluation on 16 tasks; a curve is the mean return by episode. Half of the tasks go better, half worse."""
    spread = np.tile([0.1, -0.1], 8)[None, :, None] * np.ones((2, 1, EPISODES))
    curves = [
        Curve.of(name.replace("forgetful", FORGETFUL), np.array(means) + spread * (-1) ** number)
        for number, (name, means) in enumerate(returns.items())
    ]
    return Evaluation(task="t", policy="p", backend="torch", hidden=list(range(16)), seeds=[0, 1], curves=curves)


def ramp(first: float, last: float, steps: int = 4) -> list[float]:
    return [*np.linspace(first, last, steps).tolist(), *[last] * (EPISODES - steps)]


def test_a_policy_that_is_better_with_its_memory_learns_in_context_and_the_expert_is_the_measure():
    memory, way, gain = verdict(evaluation(dmh=ramp(0, 6), forgetful=[0] * EPISODES, expert=[8] * EPISODES))
    assert memory.startswith("Memory is worth 6.0")
    assert memory.endswith("of return in the last 3 episodes: it learns in context.")
    assert way == "That is 75% of the way from the policy without memory to the expert."
    assert gain.startswith("From the first 3 episodes to the last, the return changes by 4.0")


@pytest.mark.parametrize("better", [0.0, 0.05, -0.05])
def test_a_difference_that_these_runs_cannot_tell_is_said_to_be_none(better: float):
    returns = {"dmh": [1.0 + better] * EPISODES, "forgetful": [1.0] * EPISODES, "expert": [8.0] * EPISODES}
    memory, gain = verdict(evaluation(**returns))
    assert memory.endswith("nothing that these runs can tell.")
    assert gain.endswith("no change that these runs can tell.")


def test_a_policy_that_memory_makes_worse_is_said_to_be_better_without_it():
    memory, _ = verdict(evaluation(dmh=[0] * EPISODES, forgetful=[1] * EPISODES))
    assert memory.startswith("Memory is worth -1.0")
    assert memory.endswith("the policy is better without it.")


@pytest.mark.parametrize(("trained", "adds"), [(8, " Contexts in training had 8 episodes"), (12, ""), (None, "")])
def test_returns_that_fall_behind_the_best_episodes_are_said_to_fall(trained: int | None, adds: str):
    falling = [*ramp(0, 6)[:7], *np.linspace(5.5, 3, 5).tolist()]
    *_, fall = verdict(evaluation(dmh=falling), trained)
    assert fall.startswith("Returns fall after episode 7: the last 3 episodes are -2.")
    assert "from episodes 4 to 6." in fall
    assert adds in fall
    assert ("Contexts in training" in fall) == bool(adds)


def test_returns_that_stay_do_not_fall():
    assert not any("fall" in said for said in verdict(evaluation(dmh=ramp(0, 6)), 4))


def test_a_policy_that_was_tried_alone_for_one_episode_has_only_a_change_to_tell():
    curve = Curve.of("dm-h", np.ones((1, 2, 1)))
    alone = Evaluation(task="t", policy="p", backend="torch", hidden=[0, 1], seeds=[0], curves=[curve])
    (said,) = verdict(alone)
    assert said == (
        "From the first episode to the last, the return changes by 0.00 [0.00, 0.00]: no change that these runs can "
        "tell."
    )
