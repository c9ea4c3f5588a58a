"""A stop path in shared memory, for tests of the watchdog: it counts its calls, and fails as often as it was told."""

from __future__ import annotations

from dmh_edge.shared_memory import SharedMemory


class Stop:
    def __init__(self) -> None:
        self._memory = SharedMemory(16, "stop")

    def fail(self, times: int) -> None:
        self._memory.words[0] = times

    @property
    def calls(self) -> int:
        return self._memory.words[1]

    def __call__(self) -> None:
        self._memory.words[1] += 1
        if self.calls <= self._memory.words[0]:
            raise OSError("the bus is busy")
