"""Requests to stop, which the loop looks at once a slot: Ctrl-C, SIGTERM, SIGQUIT, a terminal that hangs up, a key.

    phase       a first signal               a second one
    starting    is remembered                is remembered             the loop looks as soon as it begins
    waiting     raises `StopRequested`       -                         connecting, self-test, reset: may take long
    running     is remembered                raises `StopRequested`    for a robot whose read or write blocks
    stopping    is remembered                is remembered             nothing skips stop, or the writing of records

A signal is raised at most once, so that it can never interrupt what the first one set in motion.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Literal, final

from dmh_edge.errors import ConfigError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class StopRequested(BaseException):
    """An operator wants the robot to stop. Not an ``Exception``: no robot's own error handling may swallow it."""


@final
class StopSignals:
    """Installs the handlers while it is entered; the ones before come back on leaving.

    Attributes:
        phase: how a signal is taken.
        received: name of the first signal or key; empty while there is none.
    """

    def __init__(self) -> None:
        self.phase: Literal["starting", "waiting", "running", "stopping"] = "starting"
        self.received = ""
        self._raised = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        """Take the signals.

        Raises:
            ConfigError: this is not the main thread, where alone Python can.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("a robot must be run from the main thread: no other one can take Ctrl-C and SIGTERM")
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup: whoever started this wants it to outlive the terminal
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self) -> bool:
        """Whether a signal came."""
        return bool(self.received)

    def request(self, what: str) -> None:
        """Ask for a stop, as a signal would. From the main thread only.

        Args:
            what: who wants it.

        Raises:
            StopRequested: it is time to, by the phase.
        """
        again = bool(self.received)
        self.received = self.received or what
        if not self._raised and (self.phase == "waiting" or (self.phase == "running" and again)):
            self._raised = True
            raise StopRequested

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature of a handler)
        self.request(signal.Signals(number).name)
