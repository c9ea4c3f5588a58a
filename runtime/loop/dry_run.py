"""A dry run: everything but ``write``. Reads, guard, policy and records are the real ones; the robot takes no action.

The loop gets this object in place of the robot and never holds the robot itself, so nothing that the loop does can move
the robot:

    robot in real time    never armed and never reset: by the protocol it stands still where it is, and no command
                          timeout runs. Episodes follow each other without motion.
    robot in lockstep     a simulator, armed and reset as always; its time then stands still, because no action comes

The policy gets the truth: the applied action is the task's safe action, in every slot. So the guard judges each
proposal as the first one after standing still, and the policy sees that its actions have no effect. What it learns is
therefore useless, and is never kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from dmh_edge.robots.protocol import Action, Reading, Robot
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.task import TaskSpec, safe_action


class DryRun:
    """A robot that is read but never written to; see `Robot`.

    Args:
        robot: the robot to read.
    """

    command_timeout_s = None  # it expects no action

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.damp = None if robot.damp is None else _do_nothing

    @property
    def task(self) -> TaskSpec:
        """The robot's task."""
        return self._robot.task

    @property
    def lockstep(self) -> bool:
        """Whether the robot runs in lockstep."""
        return self._robot.lockstep

    @property
    def simulated(self) -> bool:
        """Whether the robot is simulated."""
        return self._robot.simulated

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """The robot's stop path."""
        return self._robot.stop_path

    def connect(self) -> None:
        """Connect to the robot."""
        self._robot.connect()

    def arm(self) -> None:
        """Arm a robot in lockstep; do nothing otherwise."""
        if self._robot.lockstep:
            self._robot.arm()

    def reset(self) -> None:
        """Reset a robot in lockstep; do nothing otherwise."""
        if self._robot.lockstep:
            self._robot.reset()

    def read(self) -> Reading:
        """Read the robot."""
        return self._robot.read()

    def write(self, action: Action) -> Action:  # noqa: ARG002 (that it goes nowhere is the point)
        """Write nothing, and return the safe action as the applied one: it stands for standing still."""
        return safe_action(self._robot.task)

    def stop(self) -> None:
        """Stop the robot."""
        self._robot.stop()

    def close(self) -> None:
        """Close the robot."""
        self._robot.close()


def standing_still(guard: GuardSettings) -> GuardSettings:
    """The guard's settings for a robot that stands still: it is then no fault that it does not follow the policy."""
    return guard.model_copy(update={"longest_clamp_s": math.inf, "tracking_s": math.inf})


def _do_nothing() -> None:
    """Damp a robot that already stands still."""
