"""What the loop tells its watchdog, and the watchdog the loop: a few numbers in shared memory.

    loop     -> watchdog    when it last checked in, and in which phase; one number, so that it is never half new
    watchdog -> loop        when it last looked; whether, why and when it stopped the robot

Light on purpose: the watchdog imports this file.
"""

from __future__ import annotations

from enum import IntEnum

from dmh_edge.shared_memory import WORD, SharedMemory

_PHASE_BITS = 3


class Phase(IntEnum):
    """What the loop is doing."""

    DISARMED = 0
    """Nothing moves; the loop may be silent for as long as it likes."""
    RESETTING = 1
    """The robot is armed, or moves to the start of an episode by itself."""
    RUNNING = 2
    """A slot follows a slot."""
    STOPPING = 3
    """The robot's own stop is under way."""


class Word(IntEnum):
    """Which number of 64 bits says what. Times are nanoseconds of ``CLOCK_MONOTONIC``."""

    BEAT = 0
    """When the loop last checked in, and in which phase."""
    LOOKED = 1
    """When the watchdog last looked."""
    FIRED = 2
    """When the watchdog began to stop the robot; 0 until then."""
    SILENCE = 3
    """For how long the loop had been silent then, in nanoseconds, and in which phase."""
    CONFIRMED = 4
    """When the stop path returned; 0 until then."""


class Heartbeat:
    """The numbers, and what they say. Pickled, it is the same memory in another process.

    Args:
        memory: as the other side has it; None to make it.
    """

    def __init__(self, memory: SharedMemory | None = None) -> None:
        self.memory = SharedMemory(len(Word) * WORD, "heartbeat") if memory is None else memory
        self._words = self.memory.words

    def __reduce__(self) -> tuple[type[Heartbeat], tuple[SharedMemory]]:
        """The memory travels; the rest is made again."""
        return Heartbeat, (self.memory,)

    def beat(self, phase: Phase, now_ns: int) -> None:
        """The loop checks in."""
        self._words[Word.BEAT] = now_ns << _PHASE_BITS | phase

    def last_beat(self) -> tuple[Phase, int]:
        """Phase and time of the last one."""
        return _unpacked(self._words[Word.BEAT])

    def look(self, now_ns: int) -> None:
        """The watchdog was here."""
        self._words[Word.LOOKED] = now_ns

    @property
    def looked_ns(self) -> int:
        """When it was."""
        return self._words[Word.LOOKED]

    def fire(self, phase: Phase, silence_ns: int, now_ns: int) -> None:
        """The watchdog is about to stop the robot, after so long a silence in this phase."""
        self._words[Word.SILENCE] = silence_ns << _PHASE_BITS | phase
        self._words[Word.FIRED] = now_ns

    @property
    def fired(self) -> bool:
        """Whether it did, or is about to. Then the loop must not move the robot again."""
        return self._words[Word.FIRED] != 0

    def silence(self) -> tuple[Phase, int]:
        """In which phase the loop fell silent, and for how many nanoseconds it had been."""
        return _unpacked(self._words[Word.SILENCE])

    def confirm(self, now_ns: int) -> None:
        """The stop path returned: the robot stands still."""
        self._words[Word.CONFIRMED] = now_ns

    @property
    def confirmed_ns(self) -> int:
        """When it did; 0 until then."""
        return self._words[Word.CONFIRMED]


def _unpacked(word: int) -> tuple[Phase, int]:
    return Phase(word & (1 << _PHASE_BITS) - 1), word >> _PHASE_BITS
