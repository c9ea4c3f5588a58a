"""Calls to a robot: an exception or a wrong return value becomes an error that names the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dmh_edge.errors import DmhEdgeError, RobotError
from dmh_edge.robots.protocol import Reading

T = TypeVar("T")


def ask(call: str, method: Callable[..., T], *arguments: object) -> T:
    """Call a robot's method.

    Args:
        call: name of the method, for the error.
        method: the method.
        arguments: arguments of the method.

    Raises:
        RobotError: the method raised an exception that is not a `DmhEdgeError`.
    """
    try:
        return method(*arguments)
    except DmhEdgeError:
        raise
    except Exception as error:
        raise RobotError(f"the robot failed in {call}: {type(error).__name__}: {error}") from error


def ask_reading(read: Callable[[], Reading]) -> Reading:
    """Call a robot's ``read``.

    Raises:
        RobotError: it failed, or did not return a `Reading`.
    """
    reading = ask("read", read)
    if not isinstance(reading, Reading):
        raise RobotError(f"the robot failed in read: got {reading!r}, expected a Reading")
    return reading
