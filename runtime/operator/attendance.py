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
        operator: operator whose requests the loop checks once per slot, for buttons that the user added; None if there
            are only the keys.
        terminal: terminal of the operator; None without one.
        armed: whether the permission to arm was given beforehand. Without it, a person must arm a robot that is not
            simulated.
        attended: whether a person stands by who can stop a robot that nothing else would stop.
    """

    operator: Operator | None = None
    terminal: Terminal | None = None
    armed: bool = False
    attended: bool = False

    def check(self, robot: Robot, deadman_s: float | None) -> None:
        """Refuse a run that needs a person but has none.

        Args:
            robot: the robot; it need not be connected.
            deadman_s: longest time between two confirmations of the operator, in seconds; None to require none.

        Raises:
            ConfigError: no person can arm the robot, or no person can confirm.
        """
        if self._asks_to_arm(robot) and not self.terminal:
            raise ConfigError(
                "no person can arm this robot: it is not simulated, and there is no terminal to ask at; give --arm, "
                "or start the run at a terminal"
            )
        if deadman_s is not None and not (self.terminal or self.operator):
            raise ConfigError("a deadman needs a person who confirms, but there is no terminal; start the run at one")

    @contextlib.contextmanager
    def listening(self, operator: Operator, signals: StopSignals) -> Iterator[None]:
        """Pass the keys of the terminal to the operator while this is entered."""
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
