"""The shared memory of a simulated arm's driver and physics process; through it, any process can stop the arm.

    driver  -> physics   commands; words: armed, stopped, reset requested, quit
    physics -> driver    samples, events; words: started, stepped, reset done, at rest

This file imports neither numpy nor MuJoCo, because a watchdog that has the stop path imports it.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from enum import IntEnum

from dmh_edge.errors import RobotError
from dmh_edge.shared_memory import WORD, Ring, SharedMemory

#: Steps of the physics per second. gymnasium's Reacher takes 100. Here the steps are shorter, so that lateness of a few
#: milliseconds has an effect; the integrator is of high order, so that the motion is nearly the same.
PHYSICS_HZ = 500
STEP_NS = 1_000_000_000 // PHYSICS_HZ

#: How long a stop waits for the arm to confirm that it stands still. The brakes take a fifth of this time.
_PATIENCE_NS = 1_000_000_000
_POLL_S = 0.001
#: Time without a step after which the physics is dead or frozen; nothing moves then.
_FROZEN_NS = 250_000_000


@dataclass(frozen=True)
class PhysicsConfig:
    """Configuration of the physics process.

    Attributes:
        environment: name of the task.
        hidden: number of the hidden task; None to draw one.
        seed: seed of every random generator.
        command_timeout_s: time without a command after which the arm brakes, in seconds.
        actuator_delay_s: time from writing a command until it acts, in seconds.
        driver: process id of the driver, which is the parent.
    """

    environment: str
    hidden: int | None
    seed: int
    command_timeout_s: float
    actuator_delay_s: float
    driver: int


class PhysicsWord(IntEnum):
    """Index of each number of 64 bits. Times are nanoseconds of ``CLOCK_MONOTONIC``."""

    STARTED = 0
    """When sample 0 was measured; 0 until the physics runs."""
    STEPPED = 1
    """When the newest sample was measured."""
    ARMED = 2
    """How often the robot was armed."""
    STOPPED = 3
    """When a stop was requested; 0 if none was."""
    RESET_ASKED = 4
    """Number of episodes requested so far."""
    RESET_DONE = 5
    """Number of episodes begun so far."""
    AT_REST = 6
    """1 while the brakes are on and nothing moves."""
    QUIT = 7
    """1: the physics process must end."""


class PhysicsEvent(IntEnum):
    """Kinds of events that the physics records. An event has a kind, a time and a detail."""

    COMMAND = 0
    """An action begins to act; detail: when it was written."""
    RESET = 1
    """An episode begins with the brakes on; detail: its number, from 1."""
    SILENCE = 2
    """The command timeout put the brakes on; detail: when the last command began to act."""
    STOP = 3
    """A stop put the brakes on; detail: when it was requested."""
    AT_REST = 4
    """Nothing moves any more; detail: 0."""
    VIOLATION = 5
    """The monitor noted a violation; detail: number of the rule."""


#: Format of a command: when it was written, number of the episode, whether the driver carried it out (1) or refused it
#: (0); then the action.
_COMMAND = "<qqq"
#: Format of a sample: when it was measured, number of the episode, reward; then the observation.
_SAMPLE = "<qqd"
#: Format of an event: kind, time, detail.
_EVENT = "<qqq"
#: Capacities of the rings: two seconds of samples at the rate of the physics, and the commands that the fastest loop
#: writes in a tenth of a second.
SAMPLES, COMMANDS, EVENTS = 1024, 256, 4096


class NumberRing:
    """A ring whose records are rows of numbers.

    Args:
        memory: the memory that holds the ring.
        offset: where in the memory the ring begins, in bytes; a multiple of 8.
        row: format of a record, as for `struct`.
        capacity: number of rows that are kept.
    """

    def __init__(self, memory: SharedMemory, offset: int, row: str, capacity: int) -> None:
        self._row = struct.Struct(row)
        self._ring = Ring(memory, offset, self._row.size, capacity)

    @staticmethod
    def size(row: str, capacity: int) -> int:
        """Size of a ring in bytes."""
        return Ring.size(struct.calcsize(row), capacity)

    @property
    def count(self) -> int:
        """Number of rows written so far."""
        return self._ring.count

    def append(self, *numbers: float) -> None:
        """Write one row."""
        self._ring.publish(self._row.pack(*numbers))

    def read(self, number: int) -> tuple[float, ...] | None:
        """The row with that number, from 0; None when it is not there yet, is overwritten, or is not whole."""
        packed = self._ring.read(number)
        return None if packed is None else self._row.unpack(packed)


class Link:
    """The shared memory of one arm. A pickled copy is the same memory in another process.

    Args:
        actions: number of elements of an action.
        elements: number of elements of an observation.
        memory: memory of the other side; None to make new memory.

    Attributes:
        words: numbers of 64 bits, indexed by `PhysicsWord`.
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
        """Pickle the memory; the rest is made again from it."""
        return Link, (*self._sizes, self.memory)


class StopPath:
    """Stops the arm, from any process.

    Args:
        memory: shared memory of the link.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    def __call__(self) -> None:
        """Put the brakes on until a person arms the robot again, and wait until the arm stands still.

        Raises:
            RobotError: the arm goes on moving.
        """
        words = self._memory.words
        begin_ns = time.monotonic_ns()
        if not words[PhysicsWord.STOPPED]:
            words[PhysicsWord.STOPPED] = begin_ns
        while not (words[PhysicsWord.AT_REST] and words[PhysicsWord.STEPPED] >= words[PhysicsWord.STOPPED]):
            now_ns = time.monotonic_ns()
            if now_ns - max(words[PhysicsWord.STEPPED], begin_ns) > _FROZEN_NS:
                return  # the physics does not run, so nothing moves; if it runs again, it brakes first
            if now_ns - begin_ns > _PATIENCE_NS:
                raise RobotError(f"the simulated arm still moves {_PATIENCE_NS / 1e9:g} s after it had to stop")
            time.sleep(_POLL_S)
