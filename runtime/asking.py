"""Asking a robot: what its methods raise becomes an error of ours that says which call it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dmh_edge.errors import DmhEdgeError, RobotError

T = TypeVar("T")


def ask(call: str, method: Callable[..., T], *arguments: object) -> T:
    """Call a robot's method.

    Args:
        call: its name, for the error.
        method: the method.
        arguments: its arguments.

    Raises:
        RobotError: it raised something that is none of our errors.
    """
    try:
        return method(*arguments)
    except DmhEdgeError:
        raise
    except Exception as error:
        raise RobotError(f"the robot failed in {call}: {type(error).__name__}: {error}") from error
