"""Requests to stop, which the loop checks once per slot: Ctrl-C, SIGTERM, SIGQUIT, a terminal that hangs up, a key.

    phase       a first signal               a second one
    starting    is remembered                is remembered             the loop checks as soon as it begins
    waiting     raises `StopRequested`       -                         connecting, self-test, reset: can take long
    running     is remembered                raises `StopRequested`    for a robot whose read or write blocks
    stopping    is remembered                is remembered             stopping and writing records are not interrupted

`StopRequested` is raised at most once, so that a later signal cannot interrupt the stop that the first one began.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Literal, final

from dmh_edge.errors import ConfigError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class StopRequested(BaseException):
    """An operator wants the robot to stop. Not an ``Exception``: a robot's own error handling must not catch it."""


@final
class StopSignals:
    """Installs signal handlers while it is entered, and restores the previous ones on leaving.

    Attributes:
        phase: phase of the run, which decides what a signal does; see the table in this file.
        received: name of the first signal or key; empty while there is none.
    """

    def __init__(self) -> None:
        self.phase: Literal["starting", "waiting", "running", "stopping"] = "starting"
        self.received = ""
        self._raised = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        """Install the handlers.

        Raises:
            ConfigError: this is not the main thread; Python handles signals only there.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("a robot must be run from the main thread: no other thread can take Ctrl-C and SIGTERM")
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup: the user wants the run to outlive the terminal
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self) -> bool:
        """Whether a signal came."""
        return bool(self.received)

    def request(self, what: str) -> None:
        """Request a stop, as a signal would. From the main thread only.

        Args:
            what: who or what requests it.

        Raises:
            StopRequested: the phase demands it; see the table in this file.
        """
        again = bool(self.received)
        self.received = self.received or what
        if not self._raised and (self.phase == "waiting" or (self.phase == "running" and again)):
            self._raised = True
            raise StopRequested

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature of a handler)
        self.request(signal.Signals(number).name)
