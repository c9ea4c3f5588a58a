"""Teachers: what each knows, when it changes its mind, and what it reaches when it acts itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from playing import expert_returns, returns

from dmh_edge.errors import ConfigError
from dmh_edge.tasks import find
from dmh_edge.tasks.family import Transition
from dmh_edge.tasks.teachers import PosteriorSampling, available, teacher


@pytest.mark.parametrize("name", ["darkroom", "darkroom-hard", "darkroom-dynamic"])
def test_posterior_sampling_comes_to_do_what_the_expert_does(name: str) -> None:
    task = find(name)
    hidden = np.array(task.train_ids)
    advisor = teacher("posterior", task, hidden, np.random.default_rng(0))
    assert returns(task, hidden, advisor, 20)[:, -1].tolist() == expert_returns(task, hidden).tolist()


def test_posterior_sampling_finds_a_target_that_is_not_among_its_guesses_to_some_millimetres() -> None:
    task = find("dark-reacher")
    hidden = np.array(task.test_ids[:6])
    earned = returns(task, hidden, teacher("posterior", task, hidden, np.random.default_rng(0)), 3)
    assert (earned[:, -1] > expert_returns(task, hidden) - 0.4).all()


def test_posterior_sampling_sticks_to_its_guess_until_that_is_refuted() -> None:
    task = find("darkroom")
    advisor = PosteriorSampling(task, np.array([0, 8, 72, 80]), 1, np.random.default_rng(0))
    centre = np.full((1, 2), 4, np.float32)
    first = advisor.advise(centre, np.zeros(1, np.int64))
    held = int(advisor._belief.candidates[advisor._held][0])
    for cell in (cell for cell in (0, 8, 72, 80) if cell != held):
        advisor.observe(visit(cell, reward=0))
        assert advisor._belief.candidates[advisor._held] == [held]
        assert advisor.advise(centre, np.zeros(1, np.int64)) == first
    advisor.observe(visit(held, reward=0))  # all are refuted now; this one is so by the last step as well
    assert advisor._belief.candidates[advisor._held] != [held]


def visit(cell: int, reward: float) -> Transition:
    """A step that stays on a cell."""
    place = np.float32([divmod(cell, 9)])
    return Transition(place, np.zeros(1, np.int64), np.array([4]), np.float32([reward]), place, np.zeros(1, bool))


def test_only_the_expert_looks_at_what_is_hidden() -> None:
    task = find("darkroom")
    centre, phase = np.full((2, 2), 4, np.float32), np.zeros(2, np.int64)
    for name in ("posterior", "sweep"):
        advice = [
            teacher(name, task, hidden, np.random.default_rng(3)).advise(centre, phase).tolist()
            for hidden in (np.array([7, 14]), np.array([72, 79]))
        ]
        assert advice[0] == advice[1]


def test_a_task_that_lacks_a_teacher_names_those_that_it_has() -> None:
    hidden, rng = np.array([0]), np.random.default_rng(0)
    assert available(find("darkroom")) == ("expert", "posterior", "sweep")
    with pytest.raises(ConfigError, match="'dark-reacher' has no teacher 'sweep', because its `sweep` is None; choose"):
        teacher("sweep", find("dark-reacher"), hidden, rng)
    bare = dataclasses.replace(find("darkroom"), surprise=None, sweep=None)
    with pytest.raises(
        ConfigError, match=r"has no teacher .posterior., because its `surprise` is None; choose .*: expert$"
    ):
        teacher("posterior", bare, hidden, rng)
    with pytest.raises(ConfigError, match=r"unknown teacher .sweeep' .did you mean 'sweep'"):
        teacher("sweeep", bare, hidden, rng)  # type: ignore[arg-type]
