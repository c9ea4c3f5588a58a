"""Checks before anything moves that this is the robot that the policy was made for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from dmh_edge.errors import ConfigError, ContractError, RobotError
from dmh_edge.robots.protocol import Robot
from dmh_edge.schema import Spec
from dmh_edge.task import ContinuousAction, Element, TaskSpec

#: Two rates that differ by less than this share count as equal.
_SAME_RATE = 1e-6


def check_fit(robot: Robot, task: TaskSpec, rate_hz: float) -> None:
    """Compare a robot with the task that a policy was made for.

    Args:
        robot: the robot; it need not be connected.
        task: the policy's task.
        rate_hz: control rate of the run, in Hz.

    Raises:
        ContractError: task, observation, action, reward or rate differ; all differences are listed, element by element.
        ConfigError: a robot in real time is to be run at another rate than the policy's.
        RobotError: the robot's task is not a `TaskSpec`, or the robot would stop by itself between two slots.
    """
    if not isinstance(robot.task, TaskSpec):
        raise RobotError(
            f"the robot's task is {type(robot.task).__name__} {robot.task!r}, expected a TaskSpec, readable before "
            "the robot is connected; see dmh_edge.robots.protocol"
        )
    if faults := list(_differences(robot.task, task)):
        raise ContractError("the robot is not the one that the policy was made for:\n  " + "\n  ".join(faults))
    if not robot.lockstep and not _same_rate(rate_hz, task.rate_hz):
        raise ConfigError(
            f"rate: got {rate_hz:g} Hz, expected {task.rate_hz:g} Hz, the rate that the policy was made for; "
            "only a robot in lockstep can be run at another rate"
        )
    if robot.command_timeout_s is not None and robot.command_timeout_s <= 1 / rate_hz:
        raise RobotError(
            f"the robot stops after {robot.command_timeout_s:g} s without an action, "
            f"but a control period is {1 / rate_hz:g} s; raise its command timeout"
        )


def _differences(got: TaskSpec, expected: TaskSpec) -> Iterator[str]:
    if got.name != expected.name:  # the elements can be the same, but the robot has to do something else with them
        yield f"task: the robot's is {got.name!r}, the policy's {expected.name!r}; one task must have one name"
    yield from _elements("observation", got.observation, expected.observation)
    if isinstance(got.action, ContinuousAction) and isinstance(expected.action, ContinuousAction):
        yield from _elements("action", got.action.elements, expected.action.elements)
        yield from _fields("action", got.action, expected.action, leave_out="elements")
    else:
        yield from _fields("action", got.action, expected.action)
    yield from _fields("reward", got.reward, expected.reward, leave_out="meaning")
    if not _same_rate(got.rate_hz, expected.rate_hz):
        yield f"rate: the robot's is {got.rate_hz:g} Hz, the policy's {expected.rate_hz:g} Hz"


def _elements(kind: str, got: tuple[Element, ...], expected: tuple[Element, ...]) -> Iterator[str]:
    for index, (one, other) in enumerate(zip_longest(got, expected)):
        if one is None or other is None:
            whose, name = ("policy", other.name) if one is None else ("robot", one.name)
            yield f"{kind} {index}: only the {whose} has an element here, {name!r}"
        else:
            yield from _fields(f"{kind} {index} ({other.name})", one, other)


def _fields(place: str, got: Spec, expected: Spec, leave_out: str = "") -> Iterator[str]:
    """Every field in which two specs differ."""
    if type(got) is not type(expected):
        yield f"{place}: the robot's is {type(got).__name__}, the policy's {type(expected).__name__}"
        return
    for field in type(expected).model_fields:
        one, other = getattr(got, field), getattr(expected, field)
        if field != leave_out and one != other:
            yield f"{place}: {field} is {one!r} for the robot, {other!r} for the policy"


def _same_rate(one_hz: float, other_hz: float) -> bool:
    return abs(one_hz - other_hz) <= _SAME_RATE * other_hz
