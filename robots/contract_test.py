"""The contract test of every robot. Test your own robot with three lines:

    def test_my_robot_keeps_the_contract():
        check_robot(lambda: MyRobot("192.0.2.1"))

It needs no test framework. It arms the robot, and moves it only by the task's safe action, for a few short episodes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from dmh_edge import processes
from dmh_edge.errors import RobotError
from dmh_edge.robots.protocol import Reading, Robot
from dmh_edge.task import TaskSpec, safe_action

#: Actions per episode of the test.
_STEPS = 3
#: Longest wait for a process that starts, imports and stops the robot, on a busy machine.
_PATIENCE_S = 60
_STOPPED = "stopped"


class ContractViolation(AssertionError):
    """A robot does something that the protocol forbids."""


def check_robot(make_robot: Callable[[], Robot], *, stillness: float = 1e-3) -> None:
    """Call a robot's methods in the right order, and also in wrong orders, which it must refuse.

    Args:
        make_robot: function that returns a new robot, not yet connected, at each call.
        stillness: how far an observed element may drift while the robot stands still, as a share of its range, because
            sensors are noisy.

    Raises:
        ContractViolation: the robot broke the protocol; the message names the rule.
    """
    _check_before_connecting(make_robot)
    robot = make_robot()
    try:
        _check_before_arming(robot)
        robot.arm()
        _refuses(robot, "write before the first reset", lambda: robot.write(safe_action(robot.task)))
        stamp_ns = _check_episode(robot, since_ns=0)
        stamp_ns = _check_episode(robot, stamp_ns)
        _check_stopped(robot, stamp_ns, stillness, lambda robot: robot.stop())
        robot.arm()  # a person may let it move again
        stamp_ns = _check_episode(robot, stamp_ns)
        if robot.stop_path is not None:
            _check_stopped(robot, stamp_ns, stillness, _stop_from_another_process)
            robot.arm()
            _check_episode(robot, stamp_ns)
    finally:
        robot.close()
    robot.stop()
    robot.close()
    _refuses(robot, "write after close", lambda: robot.write(safe_action(robot.task)))


def _check_before_connecting(make_robot: Callable[[], Robot]) -> None:
    robot = make_robot()
    _require(isinstance(robot.task, TaskSpec), f"task: got {robot.task!r} before connect, expected a TaskSpec")
    timeout_s = robot.command_timeout_s
    _require(
        timeout_s is None or timeout_s > 0, f"command_timeout_s: got {timeout_s}, expected a positive number or None"
    )
    for name in ("lockstep", "simulated"):
        _require(isinstance(getattr(robot, name), bool), f"{name}: got {getattr(robot, name)!r}, expected a bool")
    _require(hasattr(robot, "stop_path"), "stop_path: it is missing, expected None or a function that stops the robot")
    _require(
        callable(getattr(robot, "damp", "")) or getattr(robot, "damp", "") is None,
        "damp: it is missing; add a method that brings the robot to rest by its own damping, or `damp = None`",
    )
    for name in ("connect", "arm", "reset", "read", "write", "stop", "close"):
        _require(callable(getattr(robot, name, None)), f"{name}: it is missing, expected a method")
    _refuses(robot, "arm before connect", robot.arm)
    robot.stop()
    robot.stop()
    robot.close()
    robot.close()


def _check_before_arming(robot: Robot) -> None:
    robot.connect()
    _refuses(robot, "reset before arm", robot.reset)
    _refuses(robot, "write before arm", lambda: robot.write(safe_action(robot.task)))
    robot.stop()
    _refuses(robot, "write after a stop before arm", lambda: robot.write(safe_action(robot.task)))


def _check_episode(robot: Robot, since_ns: int) -> int:
    """Reset, and write a few actions; return the last stamp."""
    robot.reset()
    first = robot.read()
    since_ns = _check_reading(robot, first, since_ns)
    _require(
        first.reward == 0 and not first.episode_over,
        f"first reading after reset: got {first}, expected no reward and an episode that is not over",
    )
    for _ in range(_STEPS):
        wished = safe_action(robot.task)
        applied = robot.write(wished)
        _require(
            _is_array(applied, wished.shape, wished.dtype),
            f"write: got {applied!r} as the applied action, expected an array like {wished!r}",
        )
        _require(bool(np.isfinite(applied).all()), f"write: the applied action is not finite: {applied}")
        _require(wished is not applied, "write: the applied action is the caller's own array, expected a new one")
        _wait_a_period(robot)
        reading = robot.read()
        since_ns = _check_reading(robot, reading, since_ns)
        if reading.episode_over:
            return since_ns
    if robot.damp is not None:
        robot.damp()
        since_ns = _check_reading(robot, robot.read(), since_ns)
        robot.write(safe_action(robot.task))
    return since_ns


def _check_reading(robot: Robot, reading: Reading, since_ns: int) -> int:
    _require(isinstance(reading, Reading), f"read: got {reading!r}, expected a Reading")
    observation, size = reading.observation, len(robot.task.observation)
    _require(
        _is_array(observation, (size,), np.float32),
        f"read: got the observation {observation!r}, expected a float32 array of shape ({size},)",
    )
    _require(bool(np.isfinite(observation).all()), f"read: the observation is not finite: {observation}")
    _require(
        not reading.reward_valid or bool(np.isfinite(reading.reward)),
        f"read: got the reward {reading.reward}, expected a finite number, or reward_valid = False",
    )
    _require(
        reading.stamp_ns >= since_ns,
        f"read: got the stamp {reading.stamp_ns} after {since_ns}, expected stamps that do not go backwards",
    )
    again = robot.read()
    _require(again.observation is not observation, "read: two readings share one array, expected one for each")
    if robot.lockstep:
        _require(
            bool(np.array_equal(again.observation, observation)),
            f"read: a lockstep robot observed {observation}, then {again.observation} with no write in between",
        )
    return again.stamp_ns


def _check_stopped(robot: Robot, since_ns: int, stillness: float, stop: Callable[[Robot], None]) -> None:
    stop(robot)
    stop(robot)
    before = robot.read()
    _refuses(robot, "write after stop", lambda: robot.write(safe_action(robot.task)))
    _refuses(robot, "reset after stop", robot.reset)
    _wait_a_period(robot)
    after = robot.read()
    _require(before.stamp_ns >= since_ns, "read: stamps go backwards at a stop")
    for element, here, there in zip(
        robot.task.observation, before.observation.tolist(), after.observation.tolist(), strict=True
    ):
        _require(
            abs(there - here) <= stillness * (element.high - element.low),
            f"after stop, {element.name} moved from {here} to {there}, expected no motion",
        )


def _stop_from_another_process(robot: Robot) -> None:
    """Call the stop path in a real second process, as the watchdog does."""
    process = processes.start(__name__, robot.stop_path, output=subprocess.PIPE)
    try:
        said, _ = process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        said = b"nothing"
    finally:
        process.kill()
        process.wait()
    _require(
        said.decode().strip() == _STOPPED,
        f"stop_path: called in another process, it did not return there within {_PATIENCE_S} s: got "
        f"{said.decode().strip() or 'nothing'!r}, expected {_STOPPED!r}; its error is printed above",
    )


def main() -> None:
    """Call, in the second process, the stop path that it is given."""
    (stop_path,) = processes.received()
    stop_path()
    sys.stdout.write(_STOPPED)


def _wait_a_period(robot: Robot) -> None:
    if not robot.lockstep:
        time.sleep(1 / robot.task.rate_hz)


def _refuses(robot: Robot, what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except RobotError:
        return
    robot.stop()
    raise ContractViolation(f"{what}: it was carried out, expected a RobotError")


def _is_array(value: object, shape: tuple[int, ...], dtype: DTypeLike) -> bool:
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype == dtype


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractViolation(message)
