"""A robot whose driver takes more and more: memory, threads and open files, with every reading."""

from __future__ import annotations

import os
import threading

from bench_robot import BenchRobot

from dmh_edge.robots.protocol import Reading

#: No more than this, so that nothing but the benchmark complains.
_MOST = 75


class GreedyRobot(BenchRobot):
    """A `BenchRobot` that never gives anything back."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        threading.stack_size(1 << 18)  # a loop in real time locks every stack
        self._taken: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def read(self) -> Reading:
        """See `BenchRobot`."""
        if len(self._taken) < _MOST * 4:
            self._taken.append(bytes(range(256)) * 2048)
            if len(self._taken) % 4 == 0:
                os.open(os.devnull, os.O_RDONLY)
                waiting = threading.Thread(target=threading.Event().wait, daemon=True)
                waiting.start()
                self._threads.append(waiting)
        return super().read()
