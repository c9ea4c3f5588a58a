"""Contexts as they are played: who acts, what is labelled, and what is recorded."""

import gymnasium
import numpy as np
import pytest

from dmh_edge.lessons.actors import Annealed
from dmh_edge.lessons.play import play
from dmh_edge.tasks import darkroom, tmaze
from dmh_edge.tasks.teachers import Knowing

HIDDEN = np.array(darkroom.TRAIN_IDS[:3])
NONE_LED = np.zeros(3, np.int64)


class Left:
    """Always goes left, and notes what was done in its place."""

    def __init__(self):
        self.applied = []

    def act(self, observation, reward, start, phase):
        return np.zeros(len(observation), np.int64)

    def commit(self, applied):
        self.applied.append(applied.copy())


class Watching(Knowing):
    """The expert, which notes what it was shown."""

    def __init__(self, task, hidden):
        super().__init__(task, hidden)
        self.steps = []

    def observe(self, step):
        self.steps.append(step)


def played(actor, led=NONE_LED, task=darkroom.TASK, hidden=HIDDEN, episodes=2):
    teacher = Watching(task, hidden)
    return play(task, hidden, actor, teacher, episodes=episodes, led=led, seed=0), teacher


def test_a_context_is_recorded_episode_after_episode_with_its_final_observations():
    episodes, _ = played(Left())
    assert episodes.history.tolist() == [0, 0, 1, 1, 2, 2]
    assert episodes.number.tolist() == [0, 1] * 3
    assert episodes.hidden.tolist() == np.repeat(HIDDEN, 2).tolist()
    assert episodes.length.tolist() == [20] * 6
    for episode in range(6):
        begin = episode * 21
        x, y = episodes.observation[begin : begin + 21].T
        assert x.tolist() == [4, 3, 2, 1] + [0] * 17
        assert set(y.tolist()) == {4}


def test_every_step_is_labelled_with_the_teachers_action_and_not_with_what_was_done():
    episodes, _ = played(Left())
    assert set(episodes.action.tolist()) == {0}
    observed = np.delete(episodes.observation, np.arange(20, len(episodes.observation), 21), axis=0)
    hidden = np.repeat(HIDDEN, 40)
    np.testing.assert_array_equal(episodes.expert_action, darkroom.TASK.expert(observed, hidden, 0 * hidden))
    assert set(episodes.expert_action.tolist()) > {0}


def test_the_teacher_leads_in_the_first_episodes_of_a_context_and_the_actor_learns_what_was_done():
    actor = Left()
    episodes, _ = played(actor, led=np.array([0, 1, 2]))
    by_episode = episodes.action.reshape(3, 2, 20)
    advice = episodes.expert_action.reshape(3, 2, 20)
    np.testing.assert_array_equal(by_episode[1, 0], advice[1, 0])
    np.testing.assert_array_equal(by_episode[2], advice[2])
    assert not by_episode[0].any()
    assert not by_episode[1, 1].any()
    np.testing.assert_array_equal(np.stack(actor.applied, 1), episodes.action.reshape(3, 40))


def test_the_teacher_sees_every_step():
    episodes, teacher = played(Left())
    assert len(teacher.steps) == 40
    np.testing.assert_array_equal(np.stack([step.reward for step in teacher.steps], 1).ravel(), episodes.reward)
    assert [bool(step.over.all()) for step in teacher.steps] == ([False] * 19 + [True]) * 2
    np.testing.assert_array_equal(teacher.steps[0].next_observation, teacher.steps[1].observation)


def test_episodes_of_different_lengths_are_all_recorded_whole():
    task = tmaze.task(64)
    hidden = np.array([0, 2, 4])  # corridors of 64, 32 and 16 steps
    rng = np.random.default_rng(0)
    actor = Annealed(task, hidden, 3, lambda: task.draw(rng, 3), rng)
    episodes, _ = played(actor, task=task, hidden=hidden, episodes=3)
    assert episodes.length.tolist() == [65] * 3 + [33] * 3 + [17] * 3
    assert len(episodes.observation) == episodes.length.sum() + 9
    starts = np.cumsum(np.r_[0, episodes.length[:-1] + 1])
    assert set(episodes.observation[starts, 1].tolist()) == {-1}  # the sign is shown at the start, and only there
    assert episodes.observation[starts + 1, 1].tolist() == [0] * 9


def test_the_annealed_expert_is_wrong_less_and_less_often():
    hidden = np.repeat(darkroom.TRAIN_IDS, 4)
    rng = np.random.default_rng(0)
    actor = Annealed(darkroom.TASK, hidden, 12, lambda: darkroom.TASK.draw(rng, len(hidden)), rng)
    episodes = play(darkroom.TASK, hidden, actor, Knowing(darkroom.TASK, hidden), episodes=12, led=0 * hidden, seed=0)
    right = (episodes.action == episodes.expert_action).reshape(len(hidden), 12, 20).mean((0, 2))
    assert right[0] < 0.5
    assert right[-1] > 0.9
    assert np.all(np.diff(right) > -0.03)


def test_environments_are_closed_if_a_round_fails():
    closed = []

    class Failing(Left):
        def act(self, observation, reward, start, phase):
            raise RuntimeError("no action")

    def vector(hidden):
        environments = darkroom.TASK.vector(hidden)
        environments.close_extras = lambda **_: closed.append(True)
        return environments

    import dataclasses

    task = dataclasses.replace(darkroom.TASK, vector=vector)
    with pytest.raises(RuntimeError, match="no action"):
        played(Failing(), task=task)
    assert closed == [True]
    assert isinstance(vector([1]), gymnasium.vector.VectorEnv)
