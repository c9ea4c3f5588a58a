from __future__ import annotations

import sys

import pytest

from dmh_edge.errors import ConfigError, MissingExtraError, RobotError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.find import find_robot


def test_fake_becomes_a_robot_for_the_policys_task():
    other = TWO_JOINTS.model_copy(update={"name": "other"})
    robot = find_robot("fake", task=other, options={"command_timeout_s": 0.5}, seed=1)
    assert isinstance(robot, FakeRobot)
    assert (robot.task, robot.command_timeout_s) == (other, 0.5)


@pytest.mark.parametrize("name", ["fak", "fake:", ":Class", "robot"])
def test_an_unknown_robot_names_the_known_forms(name):
    with pytest.raises(ConfigError, match=r"unknown robot .*known: fake, gym:<id>, mujoco:<id>, package.module:Class"):
        find_robot(name, task=TWO_JOINTS)


def test_the_nearest_name_is_suggested():
    with pytest.raises(ConfigError, match="did you mean 'fake'"):
        find_robot("fakee", task=TWO_JOINTS)


def test_what_our_own_robots_cannot_take_is_an_option_at_fault():
    with pytest.raises(ConfigError, match=r"robot fake cannot be made with command_timeout_s='abc'"):
        find_robot("fake", task=TWO_JOINTS, options={"command_timeout_s": "abc"})
    with pytest.raises(ConfigError, match=r"robot fake cannot be made: expected non-neg"):
        find_robot("fake", task=TWO_JOINTS, seed=-1)


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    (tmp_path / "my_lab.py").write_text(
        "from dmh_edge.robots.fake_robot import FakeRobot\n"
        "class Arm(FakeRobot):\n"
        "    def __init__(self, port, speed=1): super().__init__(); self.port = port\n"
        "class Brick:\n"
        "    def read(self): ...\n"
        "    def close(self): ...\n"
        "class Old:\n"
        "    task = lockstep = simulated = command_timeout_s = stop_path = None\n"
        "    connect = arm = reset = read = write = stop = close = lambda self: None\n"
        "class Broken:\n"
        "    def __init__(self): raise TypeError('inside')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_lab", None)


def test_a_users_own_class_is_found_where_the_user_stands(users_folder):
    robot = find_robot("my_lab:Arm", task=TWO_JOINTS, options={"port": "/dev/arm"})
    assert robot.port == "/dev/arm"  # type: ignore[attr-defined]
    check_robot(lambda: robot)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "my_lab:Brick",
            {},
            RobotError,
            "lacks task, lockstep, simulated, command_timeout_s, .*connect, arm, reset, write, stop",
        ),
        ("my_lab:Old", {}, RobotError, "it lacks damp; add a method `damp` that brakes, or `damp = None` if it cannot"),
        ("my_lab:Arn", {}, ConfigError, "did you mean 'Arm'"),
        ("my_lab:Arm", {}, ConfigError, "missing a required argument: 'port'.*--robot-option"),
        ("my_lab:Arm", {"port": 1, "sped": 2}, ConfigError, "unknown option 'sped' .did you mean 'speed'"),
        ("my_lap:Arm", {}, ConfigError, "'my_lap' cannot be imported: No module named 'my_lap'"),
        ("my_lab:Broken", {}, TypeError, "inside"),
    ],
)
def test_a_users_own_that_is_no_robot_is_refused_with_what_is_wrong(users_folder, name, options, error, message):
    with pytest.raises(error, match=message):
        find_robot(name, task=TWO_JOINTS, options=options)


def test_what_brings_everything_is_asked_for_at_once(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "gymnasium"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'"\.\[mujoco\]"'):
        find_robot("mujoco:dark-reacher", task=TWO_JOINTS)


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    for name in [
        name for name in sys.modules if name.split(".")[0] == "gymnasium" or name.startswith("dmh_edge.tasks")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delattr("dmh_edge.tasks", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "\.\[sim\]"'):
        find_robot("gym:CartPole-v1", task=TWO_JOINTS)
