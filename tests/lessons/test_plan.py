"""Which updates follow which round, and what is played in it."""

import pytest

from dmh_edge import presets
from dmh_edge.lessons.plan import Plan


def plan(*settings):
    config = presets.load(
        "darkroom",
        settings=[
            "on_policy=true",
            "on_policy.contexts=8",
            "on_policy.reuse=2",
            "on_policy.keep=24",
            "data.batch=4",
            "data.episodes_per_context=12",
            "training.updates=100",
            *settings,
        ],
    )
    return Plan(config, config.on_policy)


def rounds(the_plan, updates=100):
    found = [the_plan.round_of(update) for update in range(updates)]
    return [one for number, one in enumerate(found) if number == 0 or one != found[number - 1]]


def test_a_round_is_learned_from_as_often_as_asked_and_the_last_one_ends_with_the_training():
    played = rounds(plan("training.updates=98"), 98)
    assert [one.number for one in played] == list(range(25))
    assert [one.end - one.first for one in played] == [4] * 24 + [2]


def test_a_part_of_the_training_that_is_measured_in_steps_has_short_contexts():
    short = plan("on_policy.short_episodes=3", "on_policy.short_share=0.5")
    episodes = [one.episodes * (one.end - one.first) for one in rounds(short)]
    lengths = [one.episodes for one in rounds(short)]
    assert lengths == sorted(lengths)
    assert set(lengths) == {3, 12}
    in_short = sum(steps for steps, length in zip(episodes, lengths, strict=True) if length == 3)
    assert in_short / sum(episodes) == pytest.approx(0.5)
    assert short.progress(0) == 0
    assert short.progress(80) == pytest.approx(0.5)
    assert short.progress(100) == 1


def test_only_the_first_rounds_are_the_teachers():
    assert [one.taught for one in rounds(plan("on_policy.warm_up=0.1"))] == [True] * 3 + [False] * 22
    assert [one.taught for one in rounds(plan("on_policy.warm_up=0"))] == [True] + [False] * 24
    assert all(one.taught for one in rounds(plan("on_policy.warm_up=1")))


def test_the_newest_rounds_with_contexts_of_one_length_are_kept():
    short = plan("on_policy.short_episodes=3", "on_policy.short_share=0.5")
    played = rounds(short)
    first_long = next(one.number for one in played if one.episodes == 12)
    kept = [list(short.kept(one)) for one in played]
    assert kept[:4] == [[0], [0, 1], [0, 1, 2], [1, 2, 3]]
    assert kept[first_long] == [first_long]
    assert kept[-1] == [22, 23, 24]


def test_one_round_is_kept_even_if_it_has_more_contexts_than_are_to_be_kept():
    greedy = plan("on_policy.keep=1")
    assert [list(greedy.kept(one)) for one in rounds(greedy)][:3] == [[0], [1], [2]]
