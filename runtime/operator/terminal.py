"""The operator's keys, without a thread and without a system call per slot: a key press makes the kernel send SIGIO.

a       arms the robot, when the operator is asked to
Enter   confirms that the operator is present
e       ends the episode
any other key stops the robot, also Ctrl-Z, Ctrl-\\ and Ctrl-S; so do Ctrl-C and a terminal that hangs up
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import termios
import tty
from typing import Any, TextIO, final

from dmh_edge.progress import Say
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals

KEYS = "e ends the episode, Enter confirms that you are there, any other key stops the robot"
_INPUT_FLAGS, _CONTROL_CHARACTERS = 0, 6  # indices in the list of tcgetattr
_DISABLED = b"\0"
#: Time between two checks for a stop button while the operator is asked to arm.
_LOOK_S = 0.05


@final
class Terminal:
    """The terminal that a run was started from, while it is entered.

    Args:
        path: device file of the terminal.
        say: function that shows a line to the operator.
    """

    def __init__(self, path: str, say: Say) -> None:
        self._path, self._say = path, say
        self._file = -1
        self._attributes: list[Any] = []
        self._handler_before: Any = None
        self._signals: StopSignals | None = None
        self._operator: Operator | None = None

    @classmethod
    def of_stdin(cls, say: Say, stdin: TextIO | None = None) -> Terminal | None:
        """The terminal behind standard input; None where there is none, or another job uses it."""
        stream = sys.stdin if stdin is None else stdin
        try:
            number = stream.fileno()
            if not os.isatty(number) or os.tcgetpgrp(number) != os.getpgrp():
                return None
            return cls(os.ttyname(number), say)
        except (OSError, ValueError, AttributeError):  # closed, or not a file
            return None

    def enter(self, operator: Operator, signals: StopSignals) -> None:
        """Take the keys one by one, without showing them.

        Keys that the terminal would handle itself are taken too: a loop that is suspended (Ctrl-Z) or killed (Ctrl-\\)
        guards nothing, and output that is paused (Ctrl-S) shows nothing.
        """
        self._operator, self._signals = operator, signals
        # The terminal is opened again, so that the flags set here are not set on the shell's file.
        self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self._attributes = termios.tcgetattr(self._file)
        tty.setcbreak(self._file, termios.TCSANOW)
        changed = termios.tcgetattr(self._file)
        changed[_INPUT_FLAGS] &= ~termios.IXON
        for character in (termios.VSUSP, termios.VQUIT):
            changed[_CONTROL_CHARACTERS][character] = _DISABLED
        termios.tcsetattr(self._file, termios.TCSANOW, changed)

    def wait_for_arm(self) -> None:
        """Ask the operator to arm the robot. Keys that were hit before the question do not count.

        Raises:
            StopRequested: another answer than one `a` came, or a signal, or a button requests a stop.
        """
        with contextlib.suppress(termios.error):  # the terminal may be gone; reading shows that
            termios.tcflush(self._file, termios.TCIFLUSH)
        self._say("press a to arm the robot, any other key to leave")
        while not (keys := self._keys()):
            select.select([self._file], [], [], _LOOK_S)
            if self._operator is not None and self._operator.stop_reason and self._signals is not None:
                self._signals.request(self._operator.stop_reason)
        if keys != b"a":
            self._stop(keys)

    def watch(self) -> None:
        """Handle every key at once from now on."""
        self._say(KEYS)
        self._handler_before = signal.signal(signal.SIGIO, self._hit)
        fcntl.fcntl(
            self._file, fcntl.F_SETOWN, os.getpid()
        )  # before O_ASYNC, which would otherwise choose the whole job
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | os.O_ASYNC)
        self._hit()  # keys that were hit before

    def leave(self) -> None:
        """Give the terminal back as it was. Idempotent."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_NONBLOCK)
            if self._attributes:
                termios.tcsetattr(file, termios.TCSANOW, self._attributes)
        os.close(file)
        if self._handler_before is not None:
            signal.signal(signal.SIGIO, self._handler_before)

    def _hit(self, *_: object) -> None:
        if self._file >= 0 and self._operator is not None:
            for key in self._keys():
                if key == ord("e"):
                    self._operator.end_episode()
                elif key in b"\r\n":
                    self._operator.confirm()
                else:
                    self._stop(bytes([key]))
                    return  # a second request would not wait for the end of the slot

    def _keys(self) -> bytes:
        """The keys that were hit since the last call."""
        try:
            return os.read(self._file, 64) or b"\x04"  # an end of file means that the terminal hung up
        except BlockingIOError:
            return b""
        except OSError:
            return b"\x04"

    def _stop(self, key: bytes) -> None:
        if self._signals is not None:
            self._signals.request(f"key {key.decode(errors='replace')!r}")
