"""Ceilings: what imitation reaches in darkroom is what is known of it, memory is what makes it, and gaps are named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dmh_edge.ceiling import FORGETFUL, IMITATION, Ceiling, Imitation, ceiling
from dmh_edge.errors import ConfigError
from dmh_edge.evaluate import Curve, roll_out
from dmh_edge.schema import parse
from dmh_edge.tasks import find
from dmh_edge.tasks.family import Transition


def lasts(found: Ceiling) -> dict[str, float]:
    """Mean return of the last episodes by curve."""
    return {curve.name: curve.last.mean for curve in found.curves}


@pytest.fixture(scope="module")
def darkroom() -> Ceiling:
    """Every goal of darkroom."""
    return ceiling(find("darkroom"), range(81), episodes=20, seeds=(0, 1))


def test_imitation_of_darkrooms_expert_reaches_14_and_of_teachers_that_search_all_there_is(darkroom: Ceiling) -> None:
    best = 21 - 360 / 81 - 1 / 81
    reached = lasts(darkroom)
    assert reached[IMITATION] == pytest.approx(14.47, abs=1)
    assert reached[FORGETFUL] < 3
    for name in ("expert", "imitates posterior", "imitates sweep"):
        assert reached[name] == pytest.approx(best)
    assert reached["random"] < 1
    assert (darkroom.candidates, darkroom.sampled) == (81, False)


def test_memory_is_worth_what_imitation_with_it_reaches_more_than_without(darkroom: Ceiling) -> None:
    assert darkroom.memory is not None
    reached = lasts(darkroom)
    assert darkroom.memory.mean == pytest.approx(reached[IMITATION] - reached[FORGETFUL])
    assert darkroom.memory.low > 9


def test_sentences_name_the_teacher_to_train_with_and_what_memory_is_worth(darkroom: Ceiling) -> None:
    assert darkroom.best == "sweep"
    memory, teacher = darkroom.sentences()
    assert memory.startswith(f"Memory across episodes is worth at most {darkroom.memory} of return in the last three")
    assert teacher.startswith("The teacher to train with is sweep: its imitation can reach 16.54 [")
    assert teacher.endswith("The same holds for posterior.")


def test_a_result_is_read_back_as_it_was_written(darkroom: Ceiling) -> None:
    assert parse(Ceiling, darkroom.model_dump_json(), "ceiling.json") == darkroom


def test_the_first_episode_needs_no_memory_so_the_forgetful_imitator_begins_like_the_other(darkroom: Ceiling) -> None:
    first = {curve.name: np.array(curve.returns)[..., 0].tolist() for curve in darkroom.curves}
    assert first[IMITATION] == first[FORGETFUL]


def test_where_imitation_of_the_expert_loses_nothing_the_expert_is_the_teacher_to_train_with() -> None:
    task = find("darkroom-dynamic")
    found = ceiling(task, task.test_ids, episodes=20, seeds=(0,))
    assert found.best == "expert"
    assert lasts(found)[IMITATION] == 13
    assert "imitates sweep" not in lasts(found)


def test_a_task_without_surprise_shows_what_can_be_shown_and_says_what_is_missing() -> None:
    task = dataclasses.replace(find("darkroom"), surprise=None)
    found = ceiling(task, task.test_ids, episodes=6, seeds=(0,))
    assert list(lasts(found)) == ["expert", "imitates sweep", "random"]
    assert (found.candidates, found.memory, found.best) == (0, None, "sweep")
    assert found.sentences()[-1].startswith(
        "The ceilings of the teachers expert and posterior are missing: the task has"
    )
    bare = ceiling(dataclasses.replace(task, sweep=None), task.test_ids, episodes=1, seeds=(0,))
    assert (bare.best, len(bare.sentences())) == (None, 1)


def test_with_few_episodes_the_sentences_say_which_ones_they_mean() -> None:
    task = find("darkroom")
    said = ceiling(task, task.test_ids, episodes=1, seeds=(0,)).sentences()
    assert all("in the last episode" in sentence for sentence in said)


def test_with_continuous_actions_the_imitator_takes_the_weighted_mean_of_the_expert_s() -> None:
    task = find("dark-reacher")
    possible = np.array([0, 1, 2])
    imitator = Imitation(task, possible, 2, np.random.default_rng(0), forgetful=True)
    arms = task.vector([0, 1])
    observation, _ = arms.reset(seed=0)
    phase = np.zeros(2, np.int64)
    each = np.stack([task.expert(observation, np.full(2, number), phase) for number in possible])
    assert imitator.advise(observation, phase) == pytest.approx(each.mean(axis=0), abs=1e-6)
    after = observation
    for torque in ([0.5, 0.5], [-1, 0.5], [-1, -1], [0, 1]) * 5:  # the distances from a few places tell targets apart
        before, action = after, np.tile(np.float32(torque), (2, 1))
        after, reward, *_ = arms.step(action)
        step = Transition(before, phase, action, np.float32(reward), after, np.array([False, False]))
        imitator.observe(step)
    known = task.expert(after, np.array([0, 1]), phase)
    assert imitator.advise(after, phase) == pytest.approx(known, abs=1e-3)
    imitator.observe(dataclasses.replace(step, over=np.array([True, False])))  # the first one forgets
    mixed = imitator.advise(after, phase)
    assert mixed[1] == pytest.approx(known[1], abs=1e-3)
    assert mixed[0] != pytest.approx(known[0], abs=1e-2)


def test_dark_reacher_is_sampled_and_its_imitator_comes_close_to_the_expert() -> None:
    task = find("dark-reacher")
    found = ceiling(task, task.test_ids[:4], episodes=2, seeds=(0,))
    assert found.sampled
    assert found.candidates == 2048 + 96
    reached = lasts(found)
    assert reached["expert"] - 0.1 < reached[IMITATION] <= reached["expert"] + 0.1
    assert reached["imitates posterior"] > reached["expert"] - 0.6


def test_nothing_to_play_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 0 hidden tasks, 1 episodes and 1 seeds, expected at least one of each"):
        ceiling(find("darkroom"), [], 1, (0,))


def test_roll_out_shows_each_step_with_the_observation_before_any_reset() -> None:
    task = find("darkroom")
    seen: list[Transition] = []
    rooms = task.vector([40, 49])
    roll_out(rooms, lambda *_: np.array([4, 1]), episodes=2, seed=0, observe=seen.append)
    assert len(seen) == 40
    assert [step.over.tolist() for step in seen] == ([[False] * 2] * 19 + [[True] * 2]) * 2
    assert [seen[k].observation[1].tolist() for k in (0, 1, 19, 20)] == [[4, 4], [5, 4], [8, 4], [4, 4]]
    assert [seen[k].next_observation[1].tolist() for k in (0, 19, 20)] == [[5, 4], [8, 4], [5, 4]]
    assert [seen[k].reward.tolist() for k in (0, 1)] == [[1, 1], [1, 0]]
    assert seen[0].action.tolist() == [4, 1]


def test_a_later_teacher_must_be_better_by_more_than_chance() -> None:
    from dmh_edge.ceiling import OF_TEACHER, _best

    def curve(teacher: str, *means: float) -> Curve:
        noise = np.random.default_rng(len(teacher)).normal(size=(3, 20, 1))
        return Curve.of(OF_TEACHER[teacher], np.array(means) + noise)  # type: ignore[index]

    def best(*curves: Curve) -> str | None:
        return _best({one.name: one for one in curves}, 6)

    low, high = (0,) * 6, (5,) * 6
    assert best(curve("expert", *low), curve("sweep", *high)) == "sweep"
    assert best(curve("expert", *high), curve("sweep", *low)) == "expert"
    assert best(curve("expert", *low), curve("sweep", *low)) == "expert"
    assert best(curve("expert", 0, 0, 0, 5, 5, 5), curve("sweep", *high)) == "expert"  # the last episodes decide
    assert best(curve("sweep", *low), curve("posterior", *high)) == "posterior"
    assert best(curve("expert", *low), curve("sweep", *high), curve("posterior", *high)) == "sweep"
