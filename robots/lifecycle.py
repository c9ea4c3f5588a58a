"""The life cycle of a robot, and which calls it allows when; the same for all robots of this package."""

from __future__ import annotations

from dmh_edge.errors import RobotError


class Lifecycle:
    """connect -> arm -> reset -> read, write ... -> stop -> close; a call in the wrong order is refused.

    Args:
        name: name of the robot in an error.

    Attributes:
        connected: whether the robot is connected.
        armed: whether the robot may move.
        ready: whether an episode has been started since the robot was armed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.connected = False
        self.armed = False
        self.ready = False

    def connect(self) -> None:
        """Note that the robot is connected."""
        self.connected = True

    def arm(self) -> None:
        """Let the robot move from now on.

        Raises:
            RobotError: it is not connected.
        """
        if not self.connected:
            raise RobotError(f"{self._name} cannot be armed: it is not connected; call connect first")
        self.armed = True

    def check_reset(self) -> None:
        """Refuse a reset in the wrong order.

        Raises:
            RobotError: it is not armed.
        """
        self._check_armed("reset")

    def reset(self) -> None:
        """Note that an episode has been started."""
        self.ready = True

    def check_write(self) -> None:
        """Refuse an action in the wrong order.

        Raises:
            RobotError: it is not armed, or no episode has been started.
        """
        self._check_armed("write")
        if not self.ready:
            raise RobotError(f"{self._name} refuses write: no episode has been started; call reset first")

    def check_read(self) -> None:
        """Refuse a reading in the wrong order.

        Raises:
            RobotError: it is not connected.
        """
        if not self.connected:
            raise RobotError(f"{self._name} cannot be read: it is not connected; call connect first")

    def stop(self) -> None:
        """Note that the robot stands still."""
        self.armed = self.ready = False

    def close(self) -> None:
        """Note that the connection has been closed."""
        self.stop()
        self.connected = False

    def _check_armed(self, call: str) -> None:
        if not self.armed:
            raise RobotError(f"{self._name} refuses {call}: it is not armed; call arm first")
