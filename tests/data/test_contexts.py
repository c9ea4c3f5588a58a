"""Contexts: several episodes of one hidden task, ascending by return, laid out in chunks that say what the data say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmh_edge.data.contexts import ContextSampler
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generated
from dmh_edge.data.subgoals import valuable_subgoals
from dmh_edge.errors import DataError
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.tasks import find
from dmh_edge.tasks.dark_reacher import SPEC

CHUNK = 4


def ragged(tasks: int = 3, per_task: int = 6) -> Episodes:
    """Random episodes of 1 to 11 steps with two-dimensional actions; no two numbers are alike."""
    rng = np.random.default_rng(0)
    count = tasks * per_task
    length = rng.integers(1, 12, count)
    steps = int(length.sum())
    return Episodes(
        spec=SPEC,
        observation=rng.normal(size=(steps + count, 8)).astype(np.float32),
        action=rng.normal(size=(steps, 2)).astype(np.float32),
        expert_action=rng.normal(size=(steps, 2)).astype(np.float32),
        reward=rng.normal(size=steps).astype(np.float32),
        terminated=np.zeros(count, bool),
        hidden=rng.permutation(np.repeat(np.arange(tasks) * 10, per_task)),
        history=np.zeros(count, np.int64),
        number=np.arange(count),
        length=length,
    )


def lay_out_by_hand(data: Episodes, chosen: list[int], target: list[float]) -> list[dict[str, np.ndarray]]:
    """The chunks of some episodes one by one, in plain loops."""
    assert data.expert_action is not None
    subgoals = iter(np.split(valuable_subgoals(data, CHUNK), np.cumsum(-(-data.length // CHUNK))[:-1]))
    goal_steps = [next(subgoals) for _ in data.length]
    chunks = []
    for episode, asked in zip(chosen, target, strict=True):
        start, seen = int(data.start[episode]), int(data.start[episode]) + episode
        for j, first in enumerate(range(0, int(data.length[episode]), CHUNK)):
            chunk = {
                "observation": np.zeros((CHUNK, 8), np.float32),
                "action": np.zeros((CHUNK, 2), np.float32),
                "label": np.zeros((CHUNK, 2), np.float32),
                "weight": np.zeros(CHUNK, np.float32),
                "reward": np.zeros(CHUNK, np.float32),
                "valid": np.zeros(CHUNK, bool),
                "episode_start": np.array(first == 0),
                "target_return": np.float32(asked),
                "subgoal_observation": data.observation[seen + goal_steps[episode][j]],
            }
            for slot, step in enumerate(range(first, min(first + CHUNK, int(data.length[episode])))):
                chunk["observation"][slot] = data.observation[seen + step]
                chunk["action"][slot] = data.action[start + step]
                chunk["label"][slot] = data.expert_action[start + step]
                chunk["weight"][slot] = 1
                chunk["reward"][slot] = data.reward[start + step]
                chunk["valid"][slot] = True
            chunks.append(chunk)
    return chunks


def episodes_drawn(data: Episodes, context: LabelledChunks[NDArray[Any]], row: int) -> list[int]:
    """Which episodes a context holds, recognised by their first observation."""
    firsts = data.observation[data.start + np.arange(len(data.start))]
    seen = context.observation[row, context.episode_start[row], 0]
    return [int(np.flatnonzero((firsts == one).all(axis=1))[0]) for one in seen]


@pytest.mark.parametrize("target", ["own", "best"])
def test_every_chunk_says_what_the_data_say_and_the_rest_is_nothing(target: str) -> None:
    data = ragged()
    sampler = ContextSampler(data, chunk=CHUNK, episodes_per_context=3, target=target)  # type: ignore[arg-type]
    context = sampler.draw(seed=1, update=2, batch=8)
    used = []
    for row in range(8):
        chosen = episodes_drawn(data, context, row)
        returns = data.returns[chosen]
        expected = lay_out_by_hand(data, chosen, list(returns) if target == "own" else [returns.max()] * 3)
        used.append(len(expected))
        for field in dataclasses.fields(context):
            column = getattr(context, field.name)[row]
            for j, chunk in enumerate(expected):
                assert np.array_equal(column[j], chunk[field.name]), field.name
            assert not column[len(expected) :].any(), field.name
    assert context.valid.shape[1] == max(used) > min(used)


def test_a_context_holds_different_episodes_of_one_task_ascending_by_return() -> None:
    data = ragged()
    context = ContextSampler(data, chunk=CHUNK, episodes_per_context=4).draw(0, 0, 30)
    tasks = []
    for row in range(30):
        chosen = episodes_drawn(data, context, row)
        assert len(set(chosen)) == 4
        (task,) = set(data.hidden[chosen])
        assert np.all(np.diff(data.returns[chosen]) >= 0)
        tasks.append(task)
    assert set(tasks) == {0, 10, 20}


def test_a_draw_depends_on_seed_and_update_and_on_nothing_else() -> None:
    def drawn(sampler: ContextSampler, seed: int, update: int) -> list[float]:
        return sampler.draw(seed, update, 8).reward.ravel().tolist()

    one = ContextSampler(ragged(), chunk=CHUNK, episodes_per_context=3)
    other = ContextSampler(ragged(), chunk=CHUNK, episodes_per_context=3)
    expected = drawn(one, 3, 7)
    drawn(one, 3, 8)
    assert drawn(one, 3, 7) == drawn(other, 3, 7) == expected
    assert expected not in (drawn(one, 3, 8), drawn(one, 4, 7))


def test_labels_are_the_experts_where_the_data_have_them_and_they_are_asked_for() -> None:
    data = ragged()
    behaviour = ContextSampler(data, chunk=CHUNK, episodes_per_context=3, expert_labels=False).draw(0, 0, 4)
    assert np.array_equal(behaviour.label, behaviour.action)
    silent = dataclasses.replace(data, expert_action=None)
    assert np.array_equal(
        ContextSampler(silent, chunk=CHUNK, episodes_per_context=3).draw(0, 0, 4).label, behaviour.label
    )
    expert = ContextSampler(data, chunk=CHUNK, episodes_per_context=3).draw(0, 0, 4)
    assert np.array_equal(expert.action, behaviour.action)
    assert not np.array_equal(expert.label, behaviour.label)


def test_shapes_and_types_are_those_of_the_task(darkroom_episodes: Episodes) -> None:
    context = ContextSampler(darkroom_episodes, chunk=5, episodes_per_context=3).draw(0, 0, 2)
    assert {field.name: (getattr(context, field.name).shape, str(getattr(context, field.name).dtype)) for field in
            dataclasses.fields(context)} == {
        "observation": ((2, 12, 5, 2), "float32"),
        "action": ((2, 12, 5), "int64"),
        "reward": ((2, 12, 5), "float32"),
        "valid": ((2, 12, 5), "bool"),
        "episode_start": ((2, 12), "bool"),
        "target_return": ((2, 12), "float32"),
        "label": ((2, 12, 5), "int64"),
        "weight": ((2, 12, 5), "float32"),
        "subgoal_observation": ((2, 12, 2), "float32"),
    }  # fmt: skip


def test_contexts_of_one_draw_are_about_equally_long_and_all_tasks_have_their_turn() -> None:
    maze = generated(find("tmaze-64"))
    for chunk, axis in ((65, 2), (1, 1)):  # whole episodes, and single steps
        sampler = ContextSampler(maze, chunk=chunk, episodes_per_context=1)
        draws = [sampler.draw(0, update, 6) for update in range(400)]
        lengths = [draw.valid.shape[axis] for draw in draws]
        counts = {length: lengths.count(length) for length in (9, 17, 33, 65)}
        assert sum(counts.values()) == 400
        assert min(counts.values()) > 70
        assert all(draw.valid.all() for draw in draws)
        assert {draw.observation.shape[1:] for draw in draws} == {
            (1, length, 2) if chunk > 1 else (length, 1, 2) for length in counts
        }


@pytest.mark.parametrize("expert_labels", [True, False])
def test_balanced_choices_weigh_alike_over_the_data_however_rare(
    darkroom_episodes: Episodes, expert_labels: bool
) -> None:
    data = darkroom_episodes
    labels = data.expert_action if expert_labels else data.action
    assert labels is not None
    sampler = ContextSampler(data, chunk=5, episodes_per_context=4, expert_labels=expert_labels, balance=True)
    context = sampler.draw(0, 0, 50)
    choices, counts = np.unique(labels, return_counts=True)
    assert counts.max() > 1.2 * counts.min()
    for choice, count in zip(choices, counts, strict=True):
        weights = context.weight[context.valid & (context.label == choice)]
        assert weights == pytest.approx(len(labels) / (len(choices) * count))
    assert not context.weight[~context.valid].any()


def test_only_the_last_episode_of_a_context_counts_where_that_is_asked_for() -> None:
    data = ragged()
    context, all_of_it = (
        ContextSampler(data, chunk=CHUNK, episodes_per_context=3, last_only=last_only).draw(1, 2, 8)
        for last_only in (True, False)
    )
    for row in range(8):
        (starts,) = np.flatnonzero(context.episode_start[row])[-1:]
        assert not context.weight[row, :starts].any()
        assert np.array_equal(context.weight[row, starts:], all_of_it.weight[row, starts:])
        assert context.weight[row, starts:].any()
    assert np.array_equal(context.observation, all_of_it.observation)


def test_asking_for_more_episodes_than_a_task_has_is_refused(darkroom_episodes: Episodes) -> None:
    with pytest.raises(DataError, match="hidden task 0 has 4 episodes, but a context needs 5"):
        ContextSampler(darkroom_episodes, chunk=5, episodes_per_context=5)
