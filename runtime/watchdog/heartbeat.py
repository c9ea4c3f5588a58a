"""The messages between the loop and its watchdog: a few numbers in shared memory.

    loop     -> watchdog    when the loop last checked in, and in which phase; one number, so that it is never half new
    watchdog -> loop        when the watchdog last looked; whether, why and when it stopped the robot

This file imports little on purpose: the watchdog imports it.
"""

from __future__ import annotations

from enum import IntEnum

from dmh_edge.shared_memory import WORD, SharedMemory

_PHASE_BITS = 3


class Phase(IntEnum):
    """What the loop is doing."""

    DISARMED = 0
    """Nothing moves; the loop can be silent for any time."""
    RESETTING = 1
    """The robot is armed, or moves to the start of an episode by itself."""
    RUNNING = 2
    """One slot follows the other."""
    STOPPING = 3
    """The robot's own stop is under way."""


class Word(IntEnum):
    """Index of each number of 64 bits. Times are nanoseconds of ``CLOCK_MONOTONIC``."""

    BEAT = 0
    """When the loop last checked in, and in which phase."""
    LOOKED = 1
    """When the watchdog last looked."""
    FIRED = 2
    """When the watchdog began to stop the robot; 0 until then."""
    SILENCE = 3
    """How long the loop had been silent when the watchdog fired, in nanoseconds, and in which phase."""
    CONFIRMED = 4
    """When the stop path returned; 0 until then."""


class Heartbeat:
    """Writes and reads the numbers. A pickled copy is the same memory in another process.

    Args:
        memory: memory of the other side; None to make new memory.
    """

    def __init__(self, memory: SharedMemory | None = None) -> None:
        self.memory = SharedMemory(len(Word) * WORD, "heartbeat") if memory is None else memory
        self._words = self.memory.words

    def __reduce__(self) -> tuple[type[Heartbeat], tuple[SharedMemory]]:
        """Pickle the memory; the rest is made again from it."""
        return Heartbeat, (self.memory,)

    def beat(self, phase: Phase, now_ns: int) -> None:
        """Note that the loop checks in, in this phase."""
        self._words[Word.BEAT] = now_ns << _PHASE_BITS | phase

    def last_beat(self) -> tuple[Phase, int]:
        """Phase and time of the loop's last check-in."""
        return _unpacked(self._words[Word.BEAT])

    def look(self, now_ns: int) -> None:
        """Note that the watchdog looks now."""
        self._words[Word.LOOKED] = now_ns

    @property
    def looked_ns(self) -> int:
        """When the watchdog last looked, in nanoseconds."""
        return self._words[Word.LOOKED]

    def fire(self, phase: Phase, silence_ns: int, now_ns: int) -> None:
        """Note that the watchdog is about to stop the robot, after ``silence_ns`` of silence in this phase."""
        self._words[Word.SILENCE] = silence_ns << _PHASE_BITS | phase
        self._words[Word.FIRED] = now_ns

    @property
    def fired(self) -> bool:
        """Whether the watchdog has stopped the robot, or is about to. The loop must then not move the robot again."""
        return self._words[Word.FIRED] != 0

    def silence(self) -> tuple[Phase, int]:
        """The phase in which the loop fell silent, and for how many nanoseconds it had been silent."""
        return _unpacked(self._words[Word.SILENCE])

    def confirm(self, now_ns: int) -> None:
        """Note that the stop path returned: the robot stands still."""
        self._words[Word.CONFIRMED] = now_ns

    @property
    def confirmed_ns(self) -> int:
        """When the stop path returned, in nanoseconds; 0 until then."""
        return self._words[Word.CONFIRMED]


def _unpacked(word: int) -> tuple[Phase, int]:
    return Phase(word & (1 << _PHASE_BITS) - 1), word >> _PHASE_BITS
