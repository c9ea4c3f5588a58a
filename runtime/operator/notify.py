"""systemd's notification protocol: one datagram a second tells the service manager that the loop is alive.

``NOTIFY_SOCKET`` is the address; without it nothing is opened and nothing is sent. A datagram that cannot be sent at
once is dropped, because the loop never waits. If the manager misses too many datagrams, it restarts the service.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from dmh_edge.clock import NS_PER_S
from dmh_edge.errors import ConfigError

#: Time for two datagrams, of which the second is late.
_MARGIN_S = 2.0


class Notifier:
    """Sends messages to the service manager, if there is one.

    Args:
        environment: environment variables of the process.
        longest_silence_s: longest time for which the loop sends nothing, in seconds: the time of a reset.

    Attributes:
        dropped: number of datagrams that could not be sent at once.

    Raises:
        ConfigError: the manager's time limit is so short that it would end a healthy loop.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ, longest_silence_s: float = 0.0) -> None:
        self.dropped = 0
        self._socket: socket.socket | None = None
        self._next_ns = 0
        address = environment.get("NOTIFY_SOCKET", "")
        if not address:
            return
        limit_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6
        if 0 < limit_s < longest_silence_s + _MARGIN_S:
            raise ConfigError(
                f"WatchdogSec: got {limit_s:g} s, expected at least {longest_silence_s + _MARGIN_S:g} s: the loop "
                "sends a sign of life once a second, but none during a reset, which can take "
                f"{longest_silence_s:g} s (the guard's reset_timeout_s)"
            )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def say(self, message: str) -> None:
        """Send a message, e.g. ``READY=1``; each line of it is one assignment."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            self.dropped += 1

    def alive(self, now_ns: int, ticks: int) -> None:
        """Send a sign of life, at most once a second; it takes no longer than sending a datagram.

        Args:
            now_ns: when the slot began, in nanoseconds.
            ticks: number of policy steps so far.
        """
        if self._socket is not None and now_ns >= self._next_ns:
            self._next_ns = now_ns + NS_PER_S
            self.say(f"WATCHDOG=1\nSTATUS=running, {ticks} ticks")

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
