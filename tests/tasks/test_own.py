"""Tasks of one's own: made from a gymnasium environment, and found in a module."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from dmh_edge import presets, tasks
from dmh_edge.api import evaluate_policy, train_policy
from dmh_edge.data.generate import generated
from dmh_edge.errors import ConfigError
from dmh_edge.evaluate import roll_out
from dmh_edge.task import DiscreteAction
from dmh_edge.tasks import gymnasium_task


class Scale(gymnasium.Env):
    """A needle that shall be brought to a hidden mark; observations have no bounds."""

    observation_space = Box(-np.inf, np.inf, (1,), np.float64)
    action_space = Box(-1, 1, (1,), np.float32)
    dt = 0.1

    def __init__(self, number=0):
        self.mark = mark_of(number)
        self.closed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return np.array([self.place]), {}

    def step(self, action):
        self.place += 0.5 * float(action[0])
        return np.array([self.place]), -abs(self.place - self.mark), False, False, {}

    def close(self):
        self.closed += 1


def mark_of(number):
    return float(np.random.default_rng(number).uniform(-3, 3))


def expert(observation, hidden, phase):
    marks = np.array([mark_of(int(number)) for number in hidden])
    return np.clip(2 * (marks - observation[:, 0]), -1, 1)[:, None].astype(np.float32)


def scale(**options):
    return gymnasium_task("scale", Scale, expert, **{"horizon": 10, **options})


def test_numbers_of_hidden_tasks_are_trained_on_tested_on_and_drawn_apart():
    task = scale(train=5, test=3)
    assert (task.train_ids, task.test_ids) == ((0, 1, 2, 3, 4), (5, 6, 7))
    assert task.pool[0] == 8
    assert task.draw(np.random.default_rng(0), 1000).min() > 7
    few = scale(train=5, test=3, endless=False)
    assert set(few.draw(np.random.default_rng(0), 100).tolist()) == {0, 1, 2, 3, 4}


def test_bounds_that_the_spaces_do_not_tell_are_measured_with_a_margin_and_are_the_same_every_time():
    spec = scale().spec
    (element,) = spec.observation
    marks = [mark_of(number) for number in range(8)]
    assert element.low < min(marks) - 1
    assert element.high > max(marks) + 1
    assert element.high < 20
    assert spec.reward.low < -max(map(abs, marks))
    assert spec.reward.high > 0
    assert scale().spec == spec
    returns = roll_out(scale().vector(range(8)), lambda o, _r, _s, p: expert(o, range(8), p), 1, 0)
    assert spec.target_return == pytest.approx(returns.mean(), rel=0.01)


def test_a_spec_of_ones_own_is_kept_and_must_fit():
    given = scale().spec.model_copy(update={"name": "needle", "horizon": 7})
    task = gymnasium_task("needle", Scale, expert, spec=given)
    assert task.spec == given
    with pytest.raises(ConfigError, match="steps at 10 Hz, the task at 20 Hz"):
        gymnasium_task("needle", Scale, expert, spec=given.model_copy(update={"rate_hz": 20.0}))


def test_a_spec_with_another_name_is_refused():
    with pytest.raises(ConfigError, match="got a spec with the name 'scale', expected 'needle'"):
        gymnasium_task("needle", Scale, expert, spec=scale().spec)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (np.zeros, r"an array of shape \(8,\), expected \(8, 1\)"),
        (lambda count: np.zeros((count, 2)), r"an array of shape \(8, 2\), expected \(8, 1\)"),
        (lambda _: None, r"an array of shape \(\)"),
        (lambda count: np.full((count, 1), np.nan), "(?s)the expert returned .*, expected finite numbers"),
    ],
)
@pytest.mark.parametrize("given", [False, True], ids=["derived", "given"])
def test_an_expert_that_does_not_return_actions_is_refused_before_training(given, returned, says):
    spec = scale().spec if given else None
    with pytest.raises(ConfigError, match=says):
        gymnasium_task("scale", Scale, lambda o, _h, _p: returned(len(o)), spec=spec, horizon=10)


def test_an_experts_actions_beyond_their_bounds_are_clipped():
    task = gymnasium_task("scale", Scale, lambda o, _h, _p: np.full((len(o), 1), 7.0), horizon=10)
    action = task.expert(np.zeros((2, 1), np.float32), np.arange(2), np.zeros(2, np.int64))
    assert action.dtype == np.float32
    assert action.tolist() == [[1], [1]]


@pytest.mark.parametrize("returned", [3, -1, 0.0], ids=["too large", "negative", "not whole"])
def test_an_expert_that_does_not_return_choices_is_refused(returned):
    with pytest.raises(ConfigError, match="expected whole numbers, 0 to 2"):
        gymnasium_task(
            "steps", changed(action_space=Discrete(3)), lambda o, _h, _p: np.full(len(o), returned), horizon=5
        )


class Walk(Scale):
    """Its episodes end after as many steps as its number says; its phase counts them."""

    def __init__(self, number=0):
        super().__init__(number)
        self.last = number + 1

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed)[0], {"phase": 0}

    def step(self, action):
        assert self.steps < self.last, "an episode that is over was stepped"
        self.steps += 1
        observation, reward, _, _, _ = super().step(action)
        return observation, reward, self.steps == self.last, False, {"phase": self.steps}


def test_an_environment_whose_episode_is_over_stands_still_until_its_reset_and_the_others_keep_their_phase():
    environments = gymnasium_task("walk", Walk, expert, horizon=3).vector([0, 1, 5])
    environments.reset(seed=0)
    action = np.ones((3, 1), np.float32)
    environments.step(action)
    observation, reward, terminated, truncated, info = environments.step(action)
    assert observation.ravel().tolist() == [0.5, 1, 1]
    assert (reward == 0).tolist() == [True, False, False]
    assert (terminated.tolist(), truncated.tolist()) == ([True, True, False], [False, False, False])
    assert info["phase"].tolist() == [1, 2, 2]
    observation, info = environments.reset(options={"reset_mask": np.array([True, False, False])})
    assert observation.ravel().tolist() == [0, 1, 1]
    assert info["phase"].tolist() == [0, 2, 2]
    *_, terminated, truncated, _ = environments.step(action)
    assert (terminated.tolist(), truncated.tolist()) == ([True, True, False], [False, False, True])


def test_histories_of_episodes_of_different_length_hold_what_belongs_to_each():
    task = gymnasium_task("walk", Walk, expert, horizon=10, train=4, test=2)
    episodes = generated(task, 1, 2)
    assert episodes.length.tolist() == [1, 2, 3, 4] * 2
    assert episodes.terminated.all()


def test_rows_start_with_seeds_of_their_own_as_single_environments_do():
    class Noisy(Scale):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.np_random.random(1), {}

    observation, _ = gymnasium_task("noisy", Noisy, expert, horizon=5).vector([7, 7]).reset(seed=3)
    single = [Noisy(7).reset(seed=seed)[0] for seed in (3, 4)]
    np.testing.assert_array_equal(observation, np.float32(single))


def test_environments_that_do_not_belong_together_are_refused():
    with pytest.raises(ConfigError, match="the environment of hidden task 1 has the observation_space"):
        gymnasium_task(
            "scale", lambda number: changed(observation_space=Box(-1, 1, (1 + number,)))(), expert, horizon=5
        )
    same = Scale()
    with pytest.raises(ConfigError, match="make returned the same environment twice"):
        gymnasium_task("scale", lambda _: same, expert, horizon=5)


def test_environments_end_at_the_horizon_and_start_again_alone():
    environments = scale().vector([0, 1])
    environments.reset(seed=0)
    for _ in range(10):
        *_, terminated, truncated, _ = environments.step(np.ones((2, 1), np.float32))
    assert truncated.all()
    assert not terminated.any()
    observation, _ = environments.reset(options={"reset_mask": np.array([True, False])})
    assert observation.ravel().tolist() == [0.0, 5.0]


def changed(**attributes):
    return type("Changed", (Scale,), attributes)


@pytest.mark.parametrize(
    ("attributes", "options", "says"),
    [
        ({"observation_space": Dict({"a": Box(0, 1, (1,))})}, {}, "expected a Box"),
        ({"observation_space": Box(0, 1, (2, 2))}, {}, "FlattenObservation"),
        ({"action_space": Box(-np.inf, np.inf, (1,))}, {}, "RescaleAction"),
        ({"action_space": Discrete(3, start=1)}, {}, "counted from 0"),
        ({"dt": None}, {}, "expected its control rate"),
        ({}, {"horizon": None}, "give horizon="),
        ({}, {"train": 0}, "got train = 0"),
        ({"observation_space": Box(0, 1, ())}, {}, "expected one axis"),
        (
            {"step": lambda self, action: (np.array([np.nan]), 0.0, False, False, {})},
            {},
            r"returned observation \[nan\], expected finite numbers",
        ),
    ],
)
def test_an_environment_that_no_policy_can_use_is_refused_with_what_to_do(attributes, options, says):
    with pytest.raises(ConfigError, match=says):
        gymnasium_task("scale", changed(**attributes), expert, **{"horizon": 10, **options})


def test_discrete_actions_become_choices():
    class Steps(Scale):
        action_space = Discrete(3)

        def step(self, action):
            return super().step([float(action) - 1])

    task = gymnasium_task("steps", Steps, lambda o, h, p: np.full(len(o), 2), horizon=5)
    assert isinstance(task.spec.action, DiscreteAction)
    assert task.spec.action.size == 3
    assert generated(task, 1, 2).action.dtype == np.int64


MODULE = """
from test_own_scale import Scale, expert
from dmh_edge.tasks import gymnasium_task

TASK = gymnasium_task("scale", Scale, expert, horizon=10, train=6, test=4)
NOTHING = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's in the current folder."""
    (tmp_path / "my_scale.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("\nimport my_scale\n1 / 0\n")
    monkeypatch.setitem(sys.modules, "test_own_scale", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("my_scale", "my_broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my_missing:TASK", "the module 'my_missing' cannot be imported"),
        ("my_broken:TASK", r"my_broken.py, line 3: ZeroDivisionError: division by zero"),
        ("my_scale:TASKS", "did you mean 'TASK'"),
        ("my_scale:NOTHING", "got int, expected a dmh_edge.tasks.Task"),
        ("my_scale:", "expected package.module:NAME"),
    ],
)
def test_a_task_that_cannot_be_found_is_an_error_that_says_why(name, says):
    with pytest.raises(ConfigError, match=says):
        tasks.find(name)


SMALL = ("model.width=8", "model.heads=2", "training.updates=4", "training.log_every=1", "training.checkpoint_every=2")


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("own_steps", [False, True], ids=["histories", "own steps"])
def test_a_task_of_ones_own_is_trained_resumed_and_evaluated_by_its_name(own_steps, tmp_path):
    settings = [*SMALL, "data.batch=2", "data.episodes_per_context=2", "data.hold_out=2"]
    if own_steps:
        settings += ["on_policy.contexts=4", "on_policy.short_episodes=0", "on_policy.reuse=1"]
    train_policy("my_scale:TASK", tmp_path / "run", settings=settings)
    with pytest.raises(ConfigError, match="already holds a run"):
        train_policy("my_scale:TASK", tmp_path / "run", settings=settings)
    train_policy("my_scale:TASK", tmp_path / "run", settings=settings, resume=True)
    found = evaluate_policy(tmp_path / "run", episodes=2, seeds=1)
    assert found.hidden == [6, 7, 8, 9]
    assert [curve.name for curve in found.curves][2:] == ["expert", "random"]
    assert len(evaluate_policy(tmp_path / "run", episodes=2, seeds=1, tasks="validation").hidden) == 2


def test_a_task_of_ones_own_gets_the_general_presets():
    assert presets.load("my_scale:TASK", settings=["on_policy=true"]).on_policy is not None
    assert presets.load("my_scale:TASK").model.subgoal_noise == 0
