"""Memory that processes share, and rings of records in it: no process waits for another, and nothing is left behind.

The memory has no name in any file system: it is freed with the last process that holds it, in whichever way that
process ended. It is given to another process by pickling it; the other process opens it through ``/proc``, while the
first one is still alive.

A ring is written by one process and read by any number of others:

    ring = Ring.create(record_bytes=8, capacity=1024, name="example")
    ring.publish(struct.pack("<d", 0.5))                      # the writer
    cursor = Cursor(pickle.loads(pickle.dumps(ring)))         # a reader, as a rule in another process
    cursor.take()                                             # b"\x00\x00\x00\x00\x00\x00\xe0?"

Python has no memory barriers, and a robot's processor may reorder the writes that another process sees. So a number of
64 bits is written at once, and every record has a number and a checksum: a reader takes a record whole or not at all.
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from typing import Final, final

from dmh_edge.errors import RobotError

WORD: Final = 8
#: Words before a record: its number and its checksum.
_HEAD: Final = 2
#: Number of readers that can report their progress.
READERS: Final = 7
#: A checksum starts with the lowest 32 bits of the record's number: the same record has another checksum under another
#: number.
_LOW: Final = 0xFFFF_FFFF
#: A reader that fell a whole ring behind also skips 1 / this number of the records that are left: without that, the
#: writer would overtake it again at once.
_HEADROOM: Final = 8


@final
class SharedMemory:
    """A block of memory, all zeros at first and resident from the start.

    Args:
        size: size in bytes.
        name: name that ``/proc/PID/maps`` shows.

    Attributes:
        words: the memory as signed numbers of 64 bits; reading or writing one is atomic.
        bytes: the memory as bytes.
    """

    def __init__(self, size: int, name: str) -> None:
        self._name = f"dmh-edge-{name}"
        self._descriptor = os.memfd_create(self._name)
        os.posix_fallocate(self._descriptor, 0, -(-size // WORD) * WORD)
        self._map(self._descriptor)
        # One byte of every page is written now: otherwise a later first write would wait for the kernel to map it.
        self.bytes[:: mmap.PAGESIZE] = bytes(-(-len(self.bytes) // mmap.PAGESIZE))

    def _map(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapping = mmap.mmap(descriptor, 0)
        self.bytes = memoryview(self._mapping)
        self.words = self.bytes.cast("q")

    def __reduce__(self) -> tuple[object, tuple[int, int, str]]:
        """Pickle what the other process needs to open the memory while this process is alive."""
        process = int(Path("/proc/self").readlink().name)  # the number of this process in /proc
        return _attach, (process, self._descriptor, self._name)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # the mapping stays as long as anything refers to it
            os.close(self._descriptor)
            del self._descriptor


def _attach(pid: int, descriptor: int, name: str) -> SharedMemory:
    """Open the shared memory of another process.

    Raises:
        RobotError: the process has ended, or belongs to another user.
    """
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise RobotError(
            f"the shared memory {name!r} of process {pid} cannot be reached ({error.strerror}); "
            "that process must be running, and belong to the same user"
        ) from error
    try:
        if not str(Path(f"/proc/self/fd/{opened}").readlink()).startswith(f"/memfd:{name} "):
            raise RobotError(f"{path} is no longer the shared memory {name!r}: process {pid} has ended or closed it")
        memory = SharedMemory.__new__(SharedMemory)
        memory._name = name  # noqa: SLF001 (an alternative constructor)
        memory._map(opened)  # noqa: SLF001
    except BaseException:
        os.close(opened)
        raise
    return memory


class Ring:
    """Records of one size in shared memory; the newest overwrites the oldest. A pickled copy is the same ring.

    One process publishes. Any process can read, by number or with a `Cursor`, and can report its progress.

        records published so far, one number per reader, then `capacity` times: number, checksum, record

    Args:
        memory: the memory that holds the ring.
        offset: where in the memory the ring begins, in bytes; a multiple of 8.
        record_bytes: size of a record in bytes.
        capacity: number of records that are kept.

    Attributes:
        record_bytes: size of a record in bytes.
        capacity: number of records that are kept.
    """

    def __init__(self, memory: SharedMemory, offset: int, record_bytes: int, capacity: int) -> None:
        self.record_bytes, self.capacity = record_bytes, capacity
        self._memory, self._offset = memory, offset
        self._words, self._bytes = memory.words, memory.bytes
        self._count = offset // WORD
        self._first = self._count + 1 + READERS
        self._slot_words = _slot_words(record_bytes)

    @classmethod
    def create(cls, record_bytes: int, capacity: int, name: str) -> Ring:
        """Make a ring in new memory, which ``/proc/PID/maps`` shows under `name`."""
        return cls(SharedMemory(cls.size(record_bytes, capacity), name), 0, record_bytes, capacity)

    @staticmethod
    def size(record_bytes: int, capacity: int) -> int:
        """Size of a ring in bytes."""
        return (1 + READERS + capacity * _slot_words(record_bytes)) * WORD

    def __reduce__(self) -> tuple[type[Ring], tuple[SharedMemory, int, int, int]]:
        """Pickle the memory; the rest is made again from it."""
        return Ring, (self._memory, self._offset, self.record_bytes, self.capacity)

    @property
    def count(self) -> int:
        """Number of records published so far."""
        return self._words[self._count]

    def publish(self, record: bytes | memoryview) -> None:
        """Copy a record into the ring, without a lock, without a system call, and without memory that grows.

        Args:
            record: `record_bytes` bytes.
        """
        words = self._words
        number = words[self._count]
        slot = self._first + number % self.capacity * self._slot_words
        begin = (slot + _HEAD) * WORD
        words[slot] = number  # first: a reader of the old record then sees that it is overwritten
        words[slot + 1] = zlib.crc32(record, number & _LOW)
        self._bytes[begin : begin + self.record_bytes] = record
        words[self._count] = number + 1

    def read(self, number: int) -> bytes | None:
        """The record with that number, from 0; None when it is not there yet, is overwritten, or is not whole."""
        words = self._words
        slot = self._first + number % self.capacity * self._slot_words
        if words[slot] != number:
            return None
        begin = (slot + _HEAD) * WORD
        record = bytes(self._bytes[begin : begin + self.record_bytes])
        if words[slot] != number or words[slot + 1] != zlib.crc32(record, number & _LOW):
            return None
        return record

    def progress(self, reader: int) -> int:
        """The progress that a reader reported last; 0 before its first report."""
        return self._words[self._cell(reader)]

    def say_progress(self, reader: int, amount: int) -> None:
        """Report the progress of a reader, in a unit of its own; it stays readable after the reader has died."""
        self._words[self._cell(reader)] = amount

    def _cell(self, reader: int) -> int:
        if not 0 <= reader < READERS:
            raise IndexError(f"reader {reader} of a ring: expected 0 to {READERS - 1}")
        return self._count + 1 + reader


def _slot_words(record_bytes: int) -> int:
    return _HEAD - (-record_bytes // WORD)


class Cursor:
    """Reads a ring from its first record on. A cursor that falls a whole ring behind loses the oldest records.

    Args:
        ring: the ring to read from.

    Attributes:
        position: number of the next record.
        lost: records that were overwritten before they were read.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.position = 0
        self.lost = 0

    def take(self, most: int = 1024, *, ended: bool = False) -> bytes:
        """Copies of the next records, joined, oldest first: only whole records, each once. Empty when there is none.

        Args:
            most: largest number of records to take.
            ended: whether publishing has ended. A record that is not whole now then never will be: it is lost.
        """
        ring, taken = self._ring, list[bytes]()
        while len(taken) < min(most, ring.capacity) and self.position < (count := ring.count):
            if count - self.position > ring.capacity:
                self._skip_to(count - ring.capacity + ring.capacity // _HEADROOM)
            record = ring.read(self.position)
            if record is not None:
                taken.append(record)
                self.position += 1
            elif ended:
                self._skip_to(self.position + 1)
            elif ring.count - self.position <= ring.capacity:
                break  # the record is being written, or cannot be seen yet
        return b"".join(taken)

    def _skip_to(self, number: int) -> None:
        self.lost += number - self.position
        self.position = number
