"""Who attends a run: the operator, the terminal, and the permissions that were given beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dmh_edge.errors import ConfigError
from dmh_edge.robots.protocol import Robot
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.operator.terminal import Terminal


@dataclass(frozen=True)
class Attendance:
    """Who attends a run.

    Attributes:
        operator: wishes that the loop looks at once a slot, for buttons of the user's own; None for the keys alone.
        terminal: where the operator sits; None without one.
        armed: whether the permission to arm was given beforehand; a robot that is not simulated needs a person's.
        attended: whether a person stands by who can stop a robot that nothing else would stop.
    """

    operator: Operator | None = None
    terminal: Terminal | None = None
    armed: bool = False
    attended: bool = False

    def check(self, robot: Robot, deadman_s: float | None) -> None:
        """Refuse a run that needs a person where there is none.

        Args:
            robot: need not be connected.
            deadman_s: longest time between two confirmations of the operator; None to ask for none.

        Raises:
            ConfigError: no person can arm the robot, or none can confirm.
        """
        if self._asks_to_arm(robot) and not self.terminal:
            raise ConfigError(
                "nobody may arm this robot: it is not simulated and there is no terminal to ask at; give --arm, "
                "or start it at a terminal"
            )
        if deadman_s is not None and not (self.terminal or self.operator):
            raise ConfigError("a deadman needs a person who confirms, and there is no terminal; start the run at one")

    @contextlib.contextmanager
    def listening(self, operator: Operator, signals: StopSignals) -> Iterator[None]:
        """Take the keys of the terminal for the operator while this is entered."""
        if self.terminal is None:
            yield
            return
        try:
            self.terminal.enter(operator, signals)
            yield
        finally:
            self.terminal.leave()

    def permit(self, robot: Robot) -> None:
        """Return once the robot may be armed; every key counts from then on.

        Raises:
            StopRequested: the operator does not want it to be armed.
        """
        if self.terminal is None:
            return
        if self._asks_to_arm(robot):
            self.terminal.wait_for_arm()
        self.terminal.watch()

    def _asks_to_arm(self, robot: Robot) -> bool:
        return not (self.armed or robot.simulated)
