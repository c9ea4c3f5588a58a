"""What the loop asks of a robot, and what a robot tells it.

    connect -> arm -> [reset -> (read, write) ... ]... -> stop -> close

``task`` can be read before connecting. Before ``arm`` and after ``stop`` nothing may move: ``reset`` and ``write`` are
refused. ``stop`` is idempotent and always runs at the end, whatever happened. Every implementation passes the contract
test in `robots.contract_test`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import RobotError
from dmh_edge.task import TaskSpec

#: An action as the robot takes it: float32 ``[A]``, or an int64 scalar array ``[]`` for a discrete one.
Action = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a robot saw since the last one.

    Attributes:
        stamp_ns: when it was measured, nanoseconds of ``CLOCK_MONOTONIC``.
        observation: float32 ``[S]``, in the order of the task's elements.
        reward: for the action written last; 0 for the first reading after ``reset``.
        reward_valid: False when no reward could be had.
        terminated: the episode is over by its own nature; ``observation`` is its last.
        truncated: the episode is over because its time is.
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
        """What it observes and takes; readable before ``connect``."""
        ...

    @property
    def lockstep(self) -> bool:
        """Whether its time stands still between one ``write`` and the next, as in a simulator that is stepped."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether it cannot hurt anybody; it may then be armed without an operator."""
        ...

    @property
    def command_timeout_s(self) -> float | None:
        """Silence after which it stops by itself; None when it never does."""
        ...

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """Stops it from another process; None where there is no such way. Read after ``connect``.

        It can be pickled while this process lives, and works when this process is dead or frozen. It is idempotent,
        returns when the robot stands still, raises when that is not so, and comes up with few imports: the watchdog
        calls it. From then on ``write`` and ``reset`` are refused until a person arms the robot again.
        """
        ...

    @property
    def damp(self) -> Callable[[], None] | None:
        """Brings it to rest by its own damping, ready for the next action; None where the robot cannot damp itself.

        A robot that can brake its own motors defines a method ``damp``. One that takes efforts and cannot brake is
        stopped by the faults that other robots bridge.
        """
        ...

    def connect(self) -> None:
        """Reach the robot. Nothing moves.

        Raises:
            RobotError: it cannot be reached.
        """
        ...

    def arm(self) -> None:
        """Let actions move it from now on."""
        ...

    def reset(self) -> None:
        """Bring it to the start of an episode, by its own guarded motion. The policy is not stepped meanwhile.

        Raises:
            RobotError: it is not armed, or cannot.
        """
        ...

    def read(self) -> Reading:
        """What it sees now. The reading and its arrays belong to the caller.

        Raises:
            RobotError: nothing can be seen.
        """
        ...

    def write(self, action: Action) -> Action:
        """Carry out an action; return it as applied, e.g. after the robot's own limits.

        Raises:
            RobotError: it is not armed, or cannot.
        """
        ...

    def stop(self) -> None:
        """Come to a safe standstill and take no action until armed again. Idempotent."""
        ...

    def close(self) -> None:
        """Let go of the connection; stops first. Idempotent."""
        ...


#: What to add to a driver that lacks an attribute which may be None.
_MAY_BE_NONE = {
    "command_timeout_s": "`command_timeout_s = None` if it never stops by itself",
    "stop_path": "`stop_path = None` if no other process can stop it",
    "damp": "a method `damp` that brakes, or `damp = None` if it cannot damp itself",
}


def check_members(robot: object, name: str = "the robot") -> None:
    """Refuse an object that lacks something of `Robot`, before anything is asked of it.

    Args:
        robot: an object that should be a robot.
        name: what to call it in the error.

    Raises:
        RobotError: it lacks something; the message says what, and what to add.
    """
    members = [member for member in vars(Robot) if not member.startswith("_")]
    missing = [member for member in members if not hasattr(robot, member)]
    if missing:
        add = "".join(f"; add {_MAY_BE_NONE[member]}" for member in missing if member in _MAY_BE_NONE)
        raise RobotError(f"{name} is no robot: it lacks {', '.join(missing)}{add}; see dmh_edge.robots.protocol")
