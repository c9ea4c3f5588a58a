"""Sends this process a signal from another process, at a random moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np

_PROGRAM = (
    "import os, sys, time\n"
    "time.sleep(float(sys.argv[1]))\n"
    "print(time.monotonic_ns(), flush=True)\n"
    "os.kill(int(sys.argv[2]), int(sys.argv[3]))\n"
)


class SignalSender:
    """Lets another process send a signal at a moment that does not depend on the loop's slots.

    Args:
        seed: seed of the random moment.
        longest_s: longest time until the signal, in seconds.
    """

    def __init__(self, seed: int, longest_s: float) -> None:
        self._delay_s = np.random.default_rng(seed).uniform(0, longest_s)
        self._process: subprocess.Popen[str] | None = None

    def send(self, number: signal.Signals) -> None:
        """Start the process that sends the signal."""
        words = [str(self._delay_s), str(os.getpid()), str(int(number))]
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @property
    def sent_ns(self) -> int | None:
        """When the signal was sent, in nanoseconds; None when there was none to send."""
        return int(self._process.communicate()[0]) if self._process else None
