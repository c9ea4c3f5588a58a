"""systemd's notification protocol: one datagram a second tells the service manager that the loop is alive.

``NOTIFY_SOCKET`` says where to; without it nothing is opened and nothing sent. A datagram that cannot be sent at once
is dropped: the loop never waits, and a manager that misses too many of them restarts the service, which is its job.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from dmh_edge.clock import NS_PER_S
from dmh_edge.errors import ConfigError

#: Two datagrams, the second of which is late.
_MARGIN_S = 2.0


class Notifier:
    """Tells the service manager, if there is one.

    Args:
        environment: environment variables of the process.
        longest_silence_s: longest time for which the loop says nothing: during a reset.

    Attributes:
        dropped: datagrams that could not be sent at once.

    Raises:
        ConfigError: the manager would end a loop that is well.
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
                f"WatchdogSec: got {limit_s:g} s, expected at least {longest_silence_s + _MARGIN_S:g} s: the loop says "
                "once a second that it is alive, but nothing during a reset, which the guard's reset_timeout_s lets "
                f"take {longest_silence_s:g} s"
            )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def say(self, message: str) -> None:
        """Send one message, e.g. ``READY=1``; lines are several at once."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            self.dropped += 1

    def alive(self, now_ns: int, ticks: int) -> None:
        """A slot was taken. At most once a second, and never for longer than it takes to send a datagram.

        Args:
            now_ns: when the slot began.
            ticks: steps of the policy so far.
        """
        if self._socket is not None and now_ns >= self._next_ns:
            self._next_ns = now_ns + NS_PER_S
            self.say(f"WATCHDOG=1\nSTATUS=running, {ticks} ticks")

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
