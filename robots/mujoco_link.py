"""What the driver of a simulated arm and its physics process share, and how any process stops the arm through it.

    driver  -> physics   commands; words: armed, stopped, reset asked for, quit
    physics -> driver    samples, events; words: started, stepped, reset done, at rest

Light on purpose: a watchdog that holds the stop path imports this file, and neither numpy nor MuJoCo.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from enum import IntEnum

from dmh_edge.errors import RobotError
from dmh_edge.shared_memory import WORD, Ring, SharedMemory

#: Steps of the physics in a second. gymnasium's Reacher takes 100; these are finer, so that a millisecond of lateness
#: is one, and by its order the integrator makes no difference between the two that matters.
PHYSICS_HZ = 500
STEP_NS = 1_000_000_000 // PHYSICS_HZ

#: How long a stop waits for the arm to confirm that it stands still. Brakes take a fifth of it.
_PATIENCE_NS = 1_000_000_000
_POLL_S = 0.001
#: Physics that has not stepped for so long is dead or frozen, and then nothing moves.
_FROZEN_NS = 250_000_000


@dataclass(frozen=True)
class PhysicsConfig:
    """What the process is given.

    Attributes:
        environment: name of the task.
        hidden: number of the hidden task; None to draw one.
        seed: seed of what is drawn.
        command_timeout_s: longest silence.
        actuator_delay_s: from writing a command until it acts.
        driver: process id of the parent.
    """

    environment: str
    hidden: int | None
    seed: int
    command_timeout_s: float
    actuator_delay_s: float
    driver: int


class PhysicsWord(IntEnum):
    """Which number of 64 bits says what. Times are nanoseconds of ``CLOCK_MONOTONIC``."""

    STARTED = 0
    """When sample 0 was measured; 0 until the physics runs."""
    STEPPED = 1
    """When the newest sample was measured."""
    ARMED = 2
    """How often the robot was armed."""
    STOPPED = 3
    """When it was told to stop; 0 while it was not."""
    RESET_ASKED = 4
    """How many episodes were asked for."""
    RESET_DONE = 5
    """How many episodes were begun."""
    AT_REST = 6
    """1 while the brakes are on and nothing moves."""
    QUIT = 7
    """1: the physics process has to end."""


class PhysicsEvent(IntEnum):
    """What the physics writes down of itself. An event has a kind, a time and a detail."""

    COMMAND = 0
    """An action begins to act; detail: when it was written."""
    RESET = 1
    """An episode begins with the brakes on; detail: its number, from 1."""
    SILENCE = 2
    """The command timeout put the brakes on; detail: when the last command began to act."""
    STOP = 3
    """A stop put the brakes on; detail: when it was asked for."""
    AT_REST = 4
    """Nothing moves any more; detail: 0."""
    VIOLATION = 5
    """The monitor saw something that must never reach a robot; detail: which of its rules, by number."""


#: Format of a command: when it was written, number of the episode, whether the driver carried it out (1) or refused it
#: (0); then the action.
_COMMAND = "<qqq"
#: Format of a sample: when it was measured, number of the episode, reward; then the observation.
_SAMPLE = "<qqd"
#: Format of an event: kind, time, detail.
_EVENT = "<qqq"
#: Two seconds of samples at the rate of the physics, and as many commands as the fastest loop writes in a tenth.
SAMPLES, COMMANDS, EVENTS = 1024, 256, 4096


class NumberRing:
    """A ring whose records are rows of numbers.

    Args:
        memory: holds it.
        offset: where it begins, in bytes; a multiple of 8.
        row: format of a record, as for `struct`.
        capacity: how many rows are kept.
    """

    def __init__(self, memory: SharedMemory, offset: int, row: str, capacity: int) -> None:
        self._row = struct.Struct(row)
        self._ring = Ring(memory, offset, self._row.size, capacity)

    @staticmethod
    def size(row: str, capacity: int) -> int:
        """Bytes that a ring takes."""
        return Ring.size(struct.calcsize(row), capacity)

    @property
    def count(self) -> int:
        """How many rows were ever written."""
        return self._ring.count

    def append(self, *numbers: float) -> None:
        """Write one row."""
        self._ring.publish(self._row.pack(*numbers))

    def read(self, number: int) -> tuple[float, ...] | None:
        """The row of that number, from 0; None when it is not there: not yet, no longer, or not whole."""
        packed = self._ring.read(number)
        return None if packed is None else self._row.unpack(packed)


class Link:
    """The shared memory of one arm; pickled, it is the same memory in another process.

    Args:
        actions: numbers in an action.
        elements: numbers in an observation.
        memory: as the other side has it; None to make it.

    Attributes:
        words: indexed by `PhysicsWord`.
        commands: ring of ``(written_ns, episode, accepted, *action)``.
        samples: ring of ``(measured_ns, episode, reward, *observation)``; sample k was measured at ``k`` steps of the
            physics after ``PhysicsWord.STARTED``.
        events: ring of ``(PhysicsEvent, at_ns, detail)``.
    """

    def __init__(self, actions: int, elements: int, memory: SharedMemory | None = None) -> None:
        command, sample = f"{_COMMAND}{actions}d", f"{_SAMPLE}{elements}f"
        rings = ((command, COMMANDS), (sample, SAMPLES), (_EVENT, EVENTS))
        sizes = [NumberRing.size(*ring) for ring in rings]
        begin = len(PhysicsWord) * WORD
        self._sizes = actions, elements
        self.memory = SharedMemory(begin + sum(sizes), "arm") if memory is None else memory
        self.words = self.memory.words
        self.commands, self.samples, self.events = (
            NumberRing(self.memory, begin + sum(sizes[:place]), *ring) for place, ring in enumerate(rings)
        )

    def __reduce__(self) -> tuple[type[Link], tuple[int, int, SharedMemory]]:
        """The memory travels; the rest is made again."""
        return Link, (*self._sizes, self.memory)


class StopPath:
    """Stops the arm, from whatever process holds it.

    Args:
        memory: the link's.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    def __call__(self) -> None:
        """Put the brakes on, for good until a person arms the robot again, and wait for it to stand still.

        Raises:
            RobotError: it goes on moving.
        """
        words = self._memory.words
        begin_ns = time.monotonic_ns()
        if not words[PhysicsWord.STOPPED]:
            words[PhysicsWord.STOPPED] = begin_ns
        while not (words[PhysicsWord.AT_REST] and words[PhysicsWord.STEPPED] >= words[PhysicsWord.STOPPED]):
            now_ns = time.monotonic_ns()
            if now_ns - max(words[PhysicsWord.STEPPED], begin_ns) > _FROZEN_NS:
                return  # the physics does not run, so that nothing moves; should it wake, it brakes first of all
            if now_ns - begin_ns > _PATIENCE_NS:
                raise RobotError(f"the simulated arm still moves {_PATIENCE_NS / 1e9:g} s after it was told to stop")
            time.sleep(_POLL_S)
