"""A ring of records in shared memory: one process writes, others read, and nobody ever waits for anybody.

The memory is an anonymous file that lives as long as a process has it open: nothing is left behind after SIGKILL.
Publishing a record is one copy and two stores - no lock, no system call, nothing that grows.

    page 0    u64: records published so far; then one u64 per reader: how far it says it came
    after it  `capacity` records of one dtype, each with its sequence number and a checksum over everything else

A reader has its own cursor. One that falls a whole ring behind loses the oldest records, and knows how many. A record
counts only when its number is the expected one before and after it was copied and its checksum is right: the checksum
also covers processors that let another one see stores out of order, as those of a Jetson do.
"""

from __future__ import annotations

import mmap
import os
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Fields that every record begins with.
HEAD: Final = [("sequence", "<u8"), ("checksum", "<u8")]
_HEAD_WORDS: Final = 2
_PAGE: Final = mmap.PAGESIZE
#: A reader that was lapped leaves out this share of what is still there, or it would be lapped again at once.
_HEADROOM: Final = 8


def record_dtype(fields: list[Any]) -> np.dtype[Any]:
    """A record with these fields behind the head, padded to whole words."""
    packed = np.dtype([*HEAD, *fields])
    return np.dtype([*HEAD, *fields, ("padding", "u1", (-packed.itemsize % 8,))])


class Entry:
    """A record that is being filled, in the writer's own memory.

    Attributes:
        fields: a view ``[1, ...]`` per field; numpy copies into it without allocating.
        words: all of it.
        buffer: the same as bytes; what follows the head begins at ``offset``.
    """

    offset = 8 * _HEAD_WORDS

    def __init__(self, record: np.dtype[Any]) -> None:
        array = np.zeros(1, record)
        self.fields: dict[str, NDArray[Any]] = {name: array[name] for name in record.names or ()}
        self.words: NDArray[np.uint64] = array.view(np.uint64)
        self.buffer = self.words.data.cast("B")


class Ring:
    """The shared memory, as writer or reader sees it.

    Args:
        descriptor: of the anonymous file.
        record: made by `record_dtype`.
        capacity: how many records it holds.

    Attributes:
        descriptor: to be passed on to a child process.
        record: the dtype.
        capacity: as given.
    """

    def __init__(self, descriptor: int, record: np.dtype[Any], capacity: int) -> None:
        self.descriptor, self.record, self.capacity = descriptor, record, capacity
        self._memory = mmap.mmap(descriptor, _size(record, capacity))
        self._header: NDArray[np.uint64] = np.frombuffer(self._memory, np.uint64, _PAGE // 8)
        words = record.itemsize // 8
        self._slots: NDArray[np.uint64] = np.frombuffer(
            self._memory, np.uint64, capacity * words, offset=_PAGE
        ).reshape(capacity, words)
        self._published = int(self._header[0])

    @classmethod
    def create(cls, record: np.dtype[Any], capacity: int) -> Ring:
        """A new one, every page of which is there from the start."""
        descriptor = os.memfd_create("dmh-edge-ring", os.MFD_CLOEXEC)
        os.posix_fallocate(descriptor, 0, _size(record, capacity))
        ring = cls(descriptor, record, capacity)
        ring._slots[:] = 0  # maps them: not while the loop runs
        return ring

    @property
    def published(self) -> int:
        """How many records were published so far."""
        return int(self._header[0])

    def publish(self, entry: Entry) -> None:
        """Let the readers have a copy of ``entry``; the only writer calls this."""
        number, words = self._published, entry.words
        words[0], words[1] = number, 0
        words[1] = np.add.reduce(words)
        self._slots[number % self.capacity] = words
        self._published = number + 1
        self._header[0] = self._published

    def progress(self, reader: int) -> int:
        """What a reader said last."""
        return int(self._header[1 + reader])

    def say_progress(self, reader: int, amount: int) -> None:
        """Say how far this reader came, in whatever it counts; the others see it even when it has died."""
        self._header[1 + reader] = amount

    def close(self) -> None:
        """Give the memory back. Idempotent; readers in other processes keep theirs."""
        if not self.closed:
            del self._header, self._slots
            self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1

    @property
    def closed(self) -> bool:
        """Whether the memory has been given back."""
        return self.descriptor < 0

    def slot(self, number: int) -> NDArray[np.uint64]:
        """Where record ``number`` is or was, as words."""
        words: NDArray[np.uint64] = self._slots[number % self.capacity]
        return words


class RingReader:
    """One reader's cursor.

    Attributes:
        cursor: number of the next record.
        lost: records that were overwritten before they were read.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.cursor = 0
        self.lost = 0

    def take(self, most: int = 1024, *, ended: bool = False) -> NDArray[Any]:
        """The next records, oldest first: copies, whole, each once. Empty when there is none.

        Args:
            most: at most so many.
            ended: nothing is published any more, so a record that is not whole now never will be: it is lost.
        """
        ring = self._ring
        most = min(most, ring.capacity)
        copies = np.empty((most, ring.record.itemsize // 8), np.uint64)
        count = 0
        while count < most and self.cursor < (published := ring.published):
            if published - self.cursor > ring.capacity:
                self._skip_to(published - ring.capacity + ring.capacity // _HEADROOM)
            shared, copy = ring.slot(self.cursor), copies[count]
            before = int(shared[0])
            np.copyto(copy, shared)
            if before == self.cursor == int(shared[0]) and _is_whole(copy, self.cursor):
                count += 1
                self.cursor += 1
            elif ended:
                self._skip_to(self.cursor + 1)
            elif ring.published - self.cursor <= ring.capacity:
                break  # it is being written, or cannot be seen yet
        return copies[:count].reshape(-1).view(ring.record)

    def _skip_to(self, number: int) -> None:
        self.lost += number - self.cursor
        self.cursor = number


def _is_whole(words: NDArray[np.uint64], number: int) -> bool:
    """Whether a copy has the number and the checksum that it was published with."""
    checksum = int(words[1])
    return int(words[0]) == number and int(np.add.reduce(words)) == 2 * checksum % (1 << 64)


def _size(record: DTypeLike, capacity: int) -> int:
    return _PAGE + capacity * np.dtype(record).itemsize
