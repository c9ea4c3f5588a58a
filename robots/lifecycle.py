"""Where a robot is in its life, and what it may do there: one answer for all robots of this package."""

from __future__ import annotations

from dmh_edge.errors import RobotError


class Lifecycle:
    """connect -> arm -> reset -> read, write ... -> stop -> close; whatever is out of turn is refused.

    Args:
        name: what to call the robot in an error.

    Attributes:
        connected: whether it can be reached.
        armed: whether it may move.
        ready: whether an episode has been started since it was armed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.connected = False
        self.armed = False
        self.ready = False

    def connect(self) -> None:
        """It has been reached."""
        self.connected = True

    def arm(self) -> None:
        """It may move from now on.

        Raises:
            RobotError: it is not connected.
        """
        if not self.connected:
            raise RobotError(f"{self._name} cannot be armed: it is not connected; call connect first")
        self.armed = True

    def check_reset(self) -> None:
        """Before an episode is started.

        Raises:
            RobotError: it is not armed.
        """
        self._check_armed("reset")

    def reset(self) -> None:
        """An episode has been started."""
        self.ready = True

    def check_write(self) -> None:
        """Before an action is carried out.

        Raises:
            RobotError: it is not armed, or no episode has been started.
        """
        self._check_armed("write")
        if not self.ready:
            raise RobotError(f"{self._name} refuses write: no episode has been started; call reset first")

    def check_read(self) -> None:
        """Before it is looked at.

        Raises:
            RobotError: it is not connected.
        """
        if not self.connected:
            raise RobotError(f"{self._name} cannot be read: it is not connected; call connect first")

    def stop(self) -> None:
        """It stands still."""
        self.armed = self.ready = False

    def close(self) -> None:
        """It has been let go."""
        self.stop()
        self.connected = False

    def _check_armed(self, call: str) -> None:
        if not self.armed:
            raise RobotError(f"{self._name} refuses {call}: it is not armed; call arm first")
