from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from dmh_edge import tasks
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.robots.find import find_robot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.task import ContinuousAction, DiscreteAction, Element


class Toy(gymnasium.Env):
    """Shows how often it was stepped and what it was last told; every second step pays."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012

    def __init__(self, observation_space, action_space, dt=None):
        self.observation_space, self.action_space = observation_space, action_space
        self.told: list[object] = []
        self.seeds: list[int | None] = []
        if dt is not None:
            self.dt = dt

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.told = []
        return self._look(), {}

    def step(self, action):
        self.told.append(action)
        return self._look(), len(self.told) % 2, len(self.told) == 5, False, {}

    def _look(self):
        return np.full(self.observation_space.shape, len(self.told), self.observation_space.dtype)


SEEN = Box(0, 9, (2, 2), np.float64)
TASK = TWO_JOINTS.model_copy(
    update={
        "observation": tuple(Element(name=f"s{index}", low=0, high=9) for index in range(4)),
        "action": ContinuousAction(
            elements=(Element(name="left", low=-1, high=1), Element(name="right", low=-1, high=1)),
            mode="velocity",
            safe=(0.0, 0.0),
        ),
    }
)
CHOICES = TASK.model_copy(update={"action": DiscreteAction(names=("a", "b", "c"), safe=1)})


@pytest.fixture
def toy():
    """Registers the toy with given spaces; its id."""
    gymnasium.register("Toy-v0", entry_point=Toy)
    yield lambda seen, done, **more: GymRobot(
        "Toy-v0", options={"observation_space": seen, "action_space": done}, **more
    )
    del gymnasium.registry["Toy-v0"]


def run_up(robot: GymRobot) -> GymRobot:
    robot.connect()
    robot.arm()
    robot.reset()
    return robot


def test_the_darkroom_keeps_the_contract():  # dark-reacher, which needs MuJoCo, does in tests/tasks
    check_robot(lambda: GymRobot("darkroom", options={"hidden": 0}))


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_foreign_environments_keep_the_contract(name):
    check_robot(lambda: GymRobot(name))


def test_one_of_our_own_is_known_with_its_module_too():
    assert GymRobot("dmh_edge.tasks:key-to-door", task=TASK, options={"hidden": 0}).task.name == "key-to-door"


def test_one_of_our_own_brings_its_spec_along():
    assert GymRobot("darkroom").task == tasks.find("darkroom").spec


def test_a_foreign_one_is_taken_for_the_task_that_it_fits(toy):
    robot = toy(SEEN, Box(-1, 1, (2, 1)), task=TASK)
    assert robot.task is TASK
    check_robot(lambda: robot)


def test_a_write_steps_it_once_and_a_read_tells_what_came_of_it(toy):
    robot = run_up(toy(SEEN, Box(-1, 1, (2,), np.float32), task=TASK))
    applied = robot.write(np.array([0.5, -1], np.float32))
    first, second = robot.read(), robot.read()
    assert first.observation.tolist() == second.observation.tolist() == [1, 1, 1, 1]
    assert (first.reward, first.terminated) == (1, False)
    (told,) = robot._environment.unwrapped.told
    assert told.tolist() == applied.tolist() == [0.5, -1]


def test_an_episode_that_is_over_says_so_and_takes_no_more_actions(toy):
    robot = run_up(toy(SEEN, Box(-1, 1, (2,)), task=TASK))
    for _ in range(5):
        robot.write(np.zeros(2, np.float32))
    assert robot.read().terminated
    with pytest.raises(RobotError, match="the episode is over"):
        robot.write(np.zeros(2, np.float32))
    robot.reset()
    assert robot.read().reward == 0
    robot.write(np.zeros(2, np.float32))


def test_a_time_limit_is_a_truncation(toy):
    limited = GymRobot("CartPole-v1", options={"max_episode_steps": 2})
    run_up(limited)
    for _ in range(2):
        limited.write(np.array(0))
    reading = limited.read()
    assert (reading.terminated, reading.truncated) == (False, True)


def test_only_the_first_reset_is_seeded(toy):
    robot = run_up(toy(SEEN, Box(-1, 1, (2,)), task=TASK, seed=7))
    robot.reset()
    assert robot._environment.unwrapped.seeds == [7, None]


def test_choices_that_do_not_start_at_zero_are_shifted(toy):
    robot = run_up(toy(SEEN, Discrete(3, start=5), task=CHOICES))
    assert robot.write(np.array(2)).tolist() == 2
    assert robot._environment.unwrapped.told == [7]


@pytest.mark.parametrize(
    ("seen", "done", "task", "differences"),
    [
        (Box(0, 9, (3,)), Box(-1, 1, (2,)), TASK, ["observation: the environment shows 3 elements, the task has 4"]),
        (
            Box(np.array([0, 0, -2, 0.0]), np.array([9, 99, 9, 9.0]), dtype=np.float64),
            Box(-1, 1, (2,)),
            TASK,
            [
                r"observation 1 \(s1\): the environment shows 0 to 99, the task expects 0 to 9",
                r"observation 2 \(s2\): the environment shows -2 to 9",
            ],
        ),
        (
            SEEN,
            Box(np.array([-1, -0.5]), np.array([1, 1.0]), dtype=np.float64),
            TASK,
            [r"action 1 \(right\): the environment takes -0.5 to 1, the task's are -1 to 1"],
        ),
        (SEEN, Box(-1, 1, (1,)), TASK, ["action: the environment takes 1 numbers, the task has 2"]),
        (SEEN, Discrete(2), TASK, ["action: the environment takes one of 2 choices, the task has 2 numbers"]),
        (SEEN, Discrete(2), CHOICES, ["action: the environment has 2 choices, the task has 3"]),
        (SEEN, Box(-1, 1, (3,)), CHOICES, ["action: the environment takes Box.*, the task chooses among 3"]),
        (
            Box(0, 9, (3,)),
            Box(-1, 1, (1,)),
            TASK,
            ["observation: the environment shows 3", "action: the environment takes 1"],
        ),
    ],
)
def test_what_does_not_fit_is_listed_element_by_element(toy, seen, done, task, differences):
    with pytest.raises(RobotError) as caught:
        toy(seen, done, task=task)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(differences)
    for difference in differences:
        assert caught.match(difference)


@pytest.mark.parametrize("seen", [Discrete(4), Dict({"a": SEEN})])
def test_observations_that_are_no_vector_are_refused(toy, seen):
    with pytest.raises(RobotError, match="expected a Box"):
        toy(seen, Discrete(2))


def test_bounds_that_nobody_knows_fit_every_task(toy):
    assert toy(Box(-np.inf, np.inf, (4,)), Box(-2, 2, (2,)), task=TASK).task is TASK


def test_an_environment_that_says_another_rate_is_refused():
    with pytest.raises(RobotError, match="rate: the environment steps at 20 Hz, the task at 50 Hz"):
        GymRobot("Pendulum-v1", task=TASK)


def test_a_task_is_derived_from_the_spaces_of_one_that_nobody_described():
    task = GymRobot("Pendulum-v1").task
    assert (task.rate_hz, task.horizon, len(task.observation)) == (20, 200, 3)
    assert isinstance(task.action, ContinuousAction)
    assert (task.action.elements[0].low, task.action.elements[0].high) == (-2, 2)
    cart = GymRobot("CartPole-v1").task
    assert (cart.rate_hz, cart.action.size) == (50, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gym:darkrom", {}, "Did you mean: `darkroom`"),
        ("gym:darkroom", {"hiden": 3}, "unexpected keyword argument 'hiden'"),
        ("gym:no_such_module:Env-v0", {}, "No module named 'no_such_module'"),
        ("gym:two words", {}, "cannot be made"),
        ("gym:darkroom", {"hidden": "abc"}, "got hidden = 'abc', expected a whole number, 0 to 80"),
        ("gym:darkroom", {"hidden": 14.5}, "got hidden = 14.5, expected a whole number"),
        ("gym:darkroom", {"hidden": True}, "got hidden = True, expected a whole number"),
        ("gym:darkroom", {"hidden": 81}, "got hidden = 81, expected 0 to 80"),
        ("gym:darkroom", {"task": "key-to-door"}, "gym:darkroom: task is always 'darkroom' there and not an option"),
        ("gym:dmh_edge.tasks:darkroom", {"task": "key-to-door"}, "task is always 'darkroom' there and not an option"),
    ],
)
def test_an_environment_that_cannot_be_had_is_named(name, options, message):
    with pytest.raises(ConfigError, match=message):
        find_robot(name, task=TASK, options=options)


def test_options_reach_the_environment():
    robot = find_robot("gym:darkroom", task=tasks.find("darkroom").spec, options={"hidden": 40})
    run_up(robot)
    robot.write(np.array(4))
    assert robot.read().reward == 1  # hidden task 40 pays in the centre, where every episode starts
