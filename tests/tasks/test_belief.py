"""A belief: steps refute what they do not fit, and every task with a surprise finds its own hidden task by it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.tasks import TASKS, belief, find
from dmh_edge.tasks.belief import Belief, candidates
from dmh_edge.tasks.family import Task, Transition, phase_of

CENTRE, RIGHT_OF_IT = [4, 4], [5, 4]
STAY = 4


def walk(start: list[int], end: list[int], action: int, reward: float, students: int = 1) -> Transition:
    """The same step of all students in a room."""
    return Transition(
        observation=np.tile(np.float32(start), (students, 1)),
        phase=np.zeros(students, np.int64),
        action=np.full(students, action),
        reward=np.full(students, reward, np.float32),
        next_observation=np.tile(np.float32(end), (students, 1)),
        over=np.zeros(students, bool),
    )


def play(task: Task, hidden: np.ndarray, steps: int, seed: int = 0) -> list[Transition]:
    """Steps of random actions."""
    many = task.vector(hidden.tolist())
    many.action_space.seed(seed)
    observation, info = many.reset(seed=seed)
    made = []
    for _ in range(steps):
        action, phase, before = many.action_space.sample(), phase_of(info, len(hidden)), observation
        observation, reward, terminated, truncated, info = many.step(action)
        made.append(Transition(before, phase, action, np.float32(reward), observation, terminated | truncated))
        if made[-1].over.any():
            observation, info = many.reset(options={"reset_mask": made[-1].over})
    return made


def believed(task_belief: Belief) -> list[list[int]]:
    """What each student still thinks possible."""
    return [task_belief.candidates[row > 0].tolist() for row in task_belief.weights]


def test_a_step_without_reward_refutes_one_goal_and_one_with_reward_refutes_all_others() -> None:
    darkroom = find("darkroom")
    belief = Belief(darkroom, np.arange(81), 1)
    assert belief.weights[0].tolist() == pytest.approx([1 / 81] * 81)
    belief.observe(walk(CENTRE, CENTRE, STAY, 0))
    assert believed(belief) == [[goal for goal in range(81) if goal != 40]]
    belief.observe(walk(CENTRE, RIGHT_OF_IT, 1, 1))
    assert believed(belief) == [[5 * 9 + 4]]


def test_a_door_room_learns_of_its_key_and_its_door_by_the_phase() -> None:
    task = find("key-to-door")
    belief = Belief(task, np.arange(6480), 1)
    belief.observe(walk(CENTRE, RIGHT_OF_IT, 1, 1))
    key, door = np.moveaxis(task.expert.__self__.targets(np.array(believed(belief)[0])), 1, 0)
    assert (len(door), {tuple(cell) for cell in key.tolist()}) == (80, {(5, 4)})
    after_the_key = dataclasses.replace(walk(RIGHT_OF_IT, CENTRE, 0, 1), phase=np.array([1]))
    belief.observe(after_the_key)
    assert belief.candidates[belief.weights[0] > 0].tolist() == [45 + 4 - 45 + 80 * 49 + 36]


def test_a_student_that_has_refuted_everything_starts_anew_with_its_last_step() -> None:
    belief = Belief(find("darkroom"), np.arange(81), 2)
    steps = walk(CENTRE, CENTRE, STAY, 1, students=2), walk(CENTRE, RIGHT_OF_IT, 1, 1, students=2)
    belief.observe(steps[0])
    belief.observe(
        dataclasses.replace(steps[1], next_observation=np.float32([RIGHT_OF_IT, CENTRE]), action=np.array([1, 4]))
    )
    assert believed(belief) == [[49], [40]]
    belief.observe(walk(CENTRE, RIGHT_OF_IT, STAY, 0, students=2))  # no hidden task moves like this
    assert believed(belief) == [list(range(81))] * 2


def test_forgetting_makes_all_equally_likely_where_it_is_asked_for() -> None:
    belief = Belief(find("darkroom"), np.arange(81), 2)
    belief.observe(walk(CENTRE, CENTRE, STAY, 1, students=2))
    belief.forget(np.array([True, False]))
    assert [len(row) for row in believed(belief)] == [81, 1]


def test_candidates_are_drawn_by_their_probability_and_never_a_refuted_one() -> None:
    task = dataclasses.replace(
        find("darkroom"), surprise=lambda _step, hidden: np.array([0, 2 * np.log(3), np.inf])[hidden]
    )
    belief = Belief(task, np.arange(3), 4000)
    belief.observe(walk(CENTRE, CENTRE, STAY, 0, students=4000))
    assert belief.weights[0].tolist() == pytest.approx([3 / 4, 1 / 4, 0])
    drawn = belief.draw(np.random.default_rng(0))
    assert np.bincount(drawn, minlength=3) / 4000 == pytest.approx([3 / 4, 1 / 4, 0], abs=0.03)
    assert belief.draw(np.random.default_rng(0), np.arange(4000) < 5).shape == (5,)
    assert belief.shortfall(np.repeat([0, 1, 2], [1, 1, 3998]))[:3].tolist() == pytest.approx([0, np.log(3), np.inf])


def test_no_refuted_candidate_is_drawn_even_if_the_random_number_is_zero() -> None:
    class Zeros:
        def random(self, count: int) -> np.ndarray:
            return np.zeros(count)

    belief = Belief(find("darkroom"), np.arange(81), 1)
    belief.observe(walk(CENTRE, [0, 0], STAY, 0))  # fits nothing
    belief.observe(walk(CENTRE, CENTRE, STAY, 1))
    assert belief.draw(Zeros()) == [40]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.surprise is not None])
def test_the_true_hidden_task_is_never_refuted_and_others_are(name: str) -> None:
    task = TASKS[name]
    hidden = np.array(task.test_ids[:4])
    belief = Belief(task, candidates(task, np.random.default_rng(0), hidden), len(hidden))
    truth = np.searchsorted(belief.candidates, hidden)
    for step in play(task, hidden, 60):
        belief.observe(step)
        assert (belief.shortfall(truth) < 1).all()
    likely = belief.weights > 1e-4
    assert (likely.sum(axis=1) < len(belief.candidates)).all()
    assert likely[np.arange(len(hidden)), truth].all()


def test_what_recurs_is_computed_once_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    darkroom = find("darkroom")

    def surprise(step: Transition, hidden: np.ndarray) -> np.ndarray:
        asked.append(len(hidden))
        return darkroom.surprise(step, hidden)

    monkeypatch.setattr(belief, "_KEPT", 2 * 81)
    kept = Belief(dataclasses.replace(darkroom, surprise=surprise), np.arange(81), 2)
    stay, right, left = (
        walk(CENTRE, CENTRE, 4, 0, 2),
        walk(CENTRE, RIGHT_OF_IT, 1, 0, 2),
        walk(RIGHT_OF_IT, CENTRE, 0, 0, 2),
    )
    for step in (stay, stay, right, stay):
        kept.observe(step)
    assert asked == [81, 81]
    kept.observe(left)  # the oldest makes room
    kept.observe(right)
    kept.observe(stay)
    assert asked == [81] * 4


def test_many_students_are_computed_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    task = find("dark-reacher")
    step = play(task, np.arange(5), 1)[0]
    results = []
    for at_once in (1 << 19, 25):
        monkeypatch.setattr(belief, "_AT_ONCE", at_once)
        one = Belief(task, np.arange(10), 5)
        one.observe(step)
        results.append(one.weights.tolist())
    assert results[0] == results[1]


def test_a_large_pool_is_sampled_and_a_small_one_is_considered_whole() -> None:
    rng = np.random.default_rng(0)
    assert candidates(find("darkroom"), rng).tolist() == list(find("darkroom").train_ids)
    assert len(candidates(find("key-to-door"), rng)) == 6416
    drawn = candidates(find("dark-reacher"), rng, besides=(80,))
    assert (len(drawn), drawn[0]) == (belief.DRAWN + 1, 80)
    assert drawn[1:].min() >= 96


def test_a_task_without_surprise_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task 'large-key-to-door': a belief needs `surprise`.*got None; set it"):
        Belief(find("large-key-to-door"), np.arange(3), 1)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.full(162, np.nan), np.full(162, -np.inf)])
def test_a_surprise_that_returns_something_else_than_a_number_for_each_row_is_refused(wrong: np.ndarray) -> None:
    task = dataclasses.replace(find("dark-reacher"), surprise=lambda _step, _hidden: wrong)
    with pytest.raises(ConfigError, match=r"task 'dark-reacher': `surprise` returned .* expected 162 values"):
        Belief(task, np.arange(81), 2).observe(walk(CENTRE, CENTRE, 0, 0, students=2))
