"""Makes a robot from a name on the command line: ``fake``, ``gym:<id>``, ``mujoco:<id>``, ``package.module:Class``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from dmh_edge import user_modules
from dmh_edge.errors import ConfigError, unknown
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.robots.gym import GymRobot
from dmh_edge.robots.mujoco import MujocoRobot
from dmh_edge.robots.protocol import Robot, check_members
from dmh_edge.task import TaskSpec

_FORMS = ("fake", "gym:<id>", "mujoco:<id>", "package.module:Class")


def find_robot(name: str, *, task: TaskSpec, options: Mapping[str, Any] | None = None, seed: int = 0) -> Robot:
    """Make a robot; it is neither connected nor armed.

    Args:
        name: ``fake``; ``gym:`` and the id of a gymnasium environment; ``mujoco:`` and the name of a task with an arm;
            or ``package.module:Class`` for a class of the user, which is called with only the options.
        task: task of the policy; ``fake`` becomes a robot for it, a foreign environment must fit it.
        options: options of the robot or the environment.
        seed: seed of what a simulated robot hides.

    Raises:
        ConfigError: there is no such robot, or it does not have an option.
        RobotError: it does not fit the task, or lacks a member of `Robot`.
        MissingExtraError: a package that it needs is not installed.
    """
    given = dict(options or {})
    if name == "fake":
        return cast("Robot", _make_ours(FakeRobot, "fake", {"task": task, "seed": seed}, given))
    if name.startswith("gym:"):
        if ":" in name.removeprefix("gym:"):  # it names a module
            user_modules.look_in(Path.cwd())
        return GymRobot(name.removeprefix("gym:"), task=task, options=given, seed=seed)
    if name.startswith("mujoco:"):
        ours = {"environment_id": name.removeprefix("mujoco:"), "seed": seed}
        return cast("Robot", _make_ours(MujocoRobot, name, ours, given))
    if not all(name.partition(":")):
        raise ConfigError(unknown("robot", name, _FORMS))
    make = user_modules.find(name, "robot", "my_arm.driver:Arm")
    if not callable(make):
        raise ConfigError(f"robot {name}: got {type(make).__name__} {make!r}, expected a class")
    made = _call(make, name, {}, given)
    check_members(made, name)
    return cast("Robot", made)


def _call(make: Callable[..., Any], name: str, ours: dict[str, Any], options: dict[str, Any]) -> Any:
    """Call a class with options; a wrong option raises an error of its own, not one from inside the class."""
    signature = inspect.signature(make)
    known = [key for key in signature.parameters if key not in ours and key != "clock"]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    if not takes_any:
        for key in options:
            if key not in known:
                raise ConfigError(f"robot {name}: {unknown('option', key, known)}")
    try:
        signature.bind(**ours, **options)
    except TypeError as error:
        raise ConfigError(f"robot {name}: {error}; give it with --robot-option") from error
    return make(**ours, **options)


def _make_ours(make: Callable[..., Any], name: str, ours: dict[str, Any], options: dict[str, Any]) -> Any:
    """Call a class of this package as `_call` does; an exception while it is made is an error of the options."""
    try:
        return _call(make, name, ours, options)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ConfigError(f"robot {name} cannot be made{given and f' with {given}'}: {error}") from error
