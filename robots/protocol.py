"""What the loop calls on a robot, and what a robot returns.

    connect -> arm -> [reset -> (read, write) ... ]... -> stop -> close

``task`` can be read before connecting. Before ``arm`` and after ``stop`` nothing may move: ``reset`` and ``write`` are
refused. ``stop`` is idempotent and always runs at the end, also after an error. Every implementation passes the
contract test in `robots.contract_test`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import RobotError
from dmh_edge.task import TaskSpec

#: An action as the robot takes it: float32 ``[A]``, or an int64 scalar array ``[]`` for a discrete action.
Action = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a robot: an observation, with the reward of the last action.

    Attributes:
        stamp_ns: when the observation was measured, in nanoseconds of ``CLOCK_MONOTONIC``.
        observation: measured elements in the order of the task's elements, float32 ``[S]``.
        reward: reward for the action written last; 0 for the first reading after ``reset``.
        reward_valid: False when there is no reward.
        terminated: True when the episode has reached its end; ``observation`` is its last.
        truncated: True when the episode is over because its time is over.
    """

    stamp_ns: int
    observation: NDArray[np.float32]
    reward: float = 0.0
    reward_valid: bool = True
    terminated: bool = False
    truncated: bool = False

    @property
    def episode_over(self) -> bool:
        """Whether ``reset`` comes next, instead of an action."""
        return self.terminated or self.truncated


class Robot(Protocol):
    """A machine that moves, real or simulated."""

    @property
    def task(self) -> TaskSpec:
        """The task: what the robot observes, and which actions it takes; readable before ``connect``."""
        ...

    @property
    def lockstep(self) -> bool:
        """Whether the robot's time stands still between two calls of ``write``, as in a simulator that is stepped."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether the robot is simulated and cannot hurt anyone; it can then be armed without an operator."""
        ...

    @property
    def command_timeout_s(self) -> float | None:
        """Time without an action after which the robot stops by itself, in seconds; None when it never does."""
        ...

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """Function that stops the robot from another process; None where this is impossible. Read after ``connect``.

        It can be pickled while this process is alive, and works when this process is dead or frozen. It is idempotent,
        returns when the robot stands still, raises if it does not, and needs few imports, because the watchdog calls
        it. From then on ``write`` and ``reset`` are refused until a person arms the robot again.
        """
        ...

    @property
    def damp(self) -> Callable[[], None] | None:
        """Function that brings the robot to rest by its own damping, ready for the next action; None without damping.

        A robot that can brake its own motors defines a method ``damp``. A robot that takes efforts and cannot brake is
        stopped by faults during which other robots damp.
        """
        ...

    def connect(self) -> None:
        """Connect to the robot. Nothing moves.

        Raises:
            RobotError: the robot cannot be reached.
        """
        ...

    def arm(self) -> None:
        """Let actions move the robot from now on."""
        ...

    def reset(self) -> None:
        """Move the robot to the start of an episode, by its own safe motion. The policy is not stepped meanwhile.

        Raises:
            RobotError: the robot is not armed, or cannot do it.
        """
        ...

    def read(self) -> Reading:
        """Read the sensors now. The reading and its arrays belong to the caller.

        Raises:
            RobotError: the sensors cannot be read.
        """
        ...

    def write(self, action: Action) -> Action:
        """Carry out an action; return it as applied, e.g. after the robot's own limits.

        Raises:
            RobotError: the robot is not armed, or cannot do it.
        """
        ...

    def stop(self) -> None:
        """Come to a safe standstill, and take no action until armed again. Idempotent."""
        ...

    def close(self) -> None:
        """Stop, and close the connection. Idempotent."""
        ...


_MISSING = object()
#: What to add to a driver that lacks an attribute that can be None.
_MAY_BE_NONE = {
    "command_timeout_s": "`command_timeout_s = None` if it never stops by itself",
    "stop_path": "`stop_path = None` if no other process can stop it",
    "damp": "a method `damp` that brakes, or `damp = None` if it cannot damp itself",
}


def check_members(robot: object, name: str = "the robot") -> None:
    """Refuse an object that lacks a member of `Robot`, before it is used.

    Args:
        robot: an object that should be a robot.
        name: name of the object in the error.

    Raises:
        RobotError: a member is missing; the message says which, and what to add.
    """
    members = [member for member in vars(Robot) if not member.startswith("_")]
    missing = [member for member in members if not _has(robot, member)]
    if missing:
        add = "".join(f"; add {_MAY_BE_NONE[member]}" for member in missing if member in _MAY_BE_NONE)
        raise RobotError(f"{name} is not a robot: it lacks {', '.join(missing)}{add}; see dmh_edge.robots.protocol")


def _has(robot: object, member: str) -> bool:
    """Whether a robot has a member. The stop path is not computed: it need not be there before ``connect``."""
    if member == "stop_path" and inspect.getattr_static(robot, member, _MISSING) is not _MISSING:
        return True
    return hasattr(robot, member)
