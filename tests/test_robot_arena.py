"""Robots as an arena: one for each value of an option, played in one batch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dmh_edge import presets
from dmh_edge.api.commands import Robots, evaluate_policy
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.errors import ConfigError, ContractError, RobotError
from dmh_edge.evaluate import roll_out
from dmh_edge.robot_arena import MOST, RobotVectorEnv, combinations, robot_arena

EXAMPLES = Path(__file__).parent.parent / "examples"
DRIVER = """
import dataclasses

from cart import TASK, Cart

class Guided(Cart):
    def expert_action(self, observation):
        return [(self._place - observation[0]) * 10]

class Short(Cart):
    # Its episodes end after as many steps as its place says.

    def reset(self):
        super().reset()
        self.steps = 0

    def write(self, action):
        self.steps += 1
        return super().write(action)

    def read(self):
        return dataclasses.replace(super().read(), reward=1.0, terminated=self.steps >= self._place)

class Machine(Cart):
    simulated = False

class Broken(Cart):
    opened = []

    def connect(self):
        super().connect()
        Broken.opened.append(self)
        if len(Broken.opened) == 3:
            raise OSError("no answer")

class Stubborn(Cart):
    closed = []

    def stop(self):
        raise OSError("stuck")

    def close(self):
        Stubborn.closed.append(self)
"""


@pytest.fixture(scope="module")
def cart(tmp_path_factory):
    """The module with the example's cart, and drivers made of it."""
    folder = tmp_path_factory.mktemp("drivers")
    (folder / "carts.py").write_text(DRIVER)
    paths = [str(folder), str(EXAMPLES / "cart")]
    sys.path += paths
    import carts

    yield carts
    for path in paths:
        sys.path.remove(path)


@pytest.fixture(scope="module")
def policy(cart, tmp_path_factory):
    """The folder of a training run with initial weights."""
    folder = tmp_path_factory.mktemp("run")
    config = presets.load("cart", settings=["model.width=8", "model.heads=2"])
    Checkpoint.untrained(config.model, cart.TASK).save(folder / CHECKPOINT_NAME)
    return folder


@pytest.mark.parametrize(
    ("varied", "found"),
    [
        (["target=0:3"], [{"target": 0}, {"target": 1}, {"target": 2}]),
        (["mass=1:2:0.5"], [{"mass": 1.0}, {"mass": 1.5}]),
        (["place=[0.5,-0.5]"], [{"place": 0.5}, {"place": -0.5}]),
        (["place=[[1,2]]", "hand=0:2"], [{"place": [1, 2], "hand": 0}, {"place": [1, 2], "hand": 1}]),
    ],
)
def test_values_are_ranges_or_lists_and_several_options_are_combined(varied, found):
    assert combinations(varied) == found


@pytest.mark.parametrize(
    "text", ["target=3", "target=0:0", "target=a:b", "target=0:1:0", "target=[]", "target=0:1:2:3", "target=0:99999"]
)
def test_values_that_are_none_are_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=f"with 1 to {MOST:,} values, e.g. target=0:24"):
        combinations([text])


def test_too_many_combinations_are_refused():
    with pytest.raises(ConfigError, match="got 10,000 combinations"):
        combinations(["a=0:100", "b=0:100"])


def test_a_policy_is_tried_on_all_robots_at_once_beside_an_expert_and_a_random_policy(cart, policy):
    found = evaluate_policy(policy, episodes=4, seeds=2, robots=Robots("carts:Guided", ("place=[-0.5,0.2,0.8]",)))
    assert found.settings == ["place=-0.5", "place=0.2", "place=0.8"]
    assert found.hidden == []
    curves = {curve.name: np.array(curve.returns) for curve in found.curves}
    assert list(curves) == ["dm-h", "memory zeroed at each episode", "expert", "random"]
    assert all(returns.shape == (2, 3, 4) for returns in curves.values())
    # A cart that drives at 1 m/s towards its place for two seconds, in steps of 0.1 m.
    expected = [sum(1 - max(0, abs(place) - 0.1 * step) for step in range(1, 21)) for place in (-0.5, 0.2, 0.8)]
    np.testing.assert_allclose(curves["expert"][0, :, 0], expected, atol=1e-4)
    assert found.verdict[0].startswith("Memory is worth ")


def test_a_robot_without_an_expert_is_tried_without_one(cart, policy):
    found = evaluate_policy(policy, episodes=1, seeds=1, robots=Robots("cart:Cart", ("place=[0.5]",)))
    assert [curve.name for curve in found.curves] == ["dm-h", "memory zeroed at each episode", "random"]


def test_an_episode_ends_at_the_horizon_of_the_task_and_only_that_robot_starts_again(cart):
    arena = robot_arena("cart:Cart", cart.TASK, {}, ["place=[0.0,0.5]"])
    returns = roll_out(arena.environments, lambda *_: np.ones((2, 1), np.float32), 2, 0)
    arena.environments.close()
    np.testing.assert_allclose(returns[:, 0], returns[:, 1])
    arena = robot_arena("carts:Short", cart.TASK, {}, ["place=[5,50]"])
    returns = roll_out(arena.environments, lambda *_: np.ones((2, 1), np.float32), 3, 0)
    arena.environments.close()
    assert returns.tolist() == [[5, 5, 5], [20, 20, 20]]


def test_a_machine_is_not_tried_without_its_guard(cart):
    with pytest.raises(RobotError, match="use `dmh-edge run --episodes 20` for it"):
        robot_arena("carts:Machine", cart.TASK, {}, ["place=[0.5]"])


def test_a_robot_of_another_task_is_refused(cart):
    other = cart.TASK.model_copy(update={"name": "other"})
    with pytest.raises(ContractError, match="the robot's is 'cart', the policy's 'other'"):
        robot_arena("cart:Cart", other, {}, ["place=[0.5]"])


def test_an_option_is_either_varied_or_the_same_for_all(cart):
    with pytest.raises(ConfigError, match="--vary place: the option is given by --robot-option as well"):
        robot_arena("cart:Cart", cart.TASK, {"place": 0.5}, ["place=[0.5]"])


def test_robots_that_were_connected_are_closed_if_a_later_one_cannot_be(cart):
    cart.Broken.opened.clear()
    with pytest.raises(OSError, match="no answer"):
        robot_arena("carts:Broken", cart.TASK, {}, ["place=[0.1,0.2,0.3,0.4]"])
    assert [robot._life.connected for robot in cart.Broken.opened] == [False] * 3


def test_all_robots_are_stopped_and_closed_also_if_one_of_them_fails_to(cart):
    cart.Stubborn.closed.clear()
    arena = robot_arena("carts:Stubborn", cart.TASK, {}, ["place=[0.1,0.2]"])
    assert isinstance(arena.environments, RobotVectorEnv)
    with pytest.raises(OSError, match="stuck"):
        arena.environments.close()
    assert len(cart.Stubborn.closed) == 2
