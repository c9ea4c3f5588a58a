"""Memory that processes share, and rings of records in it: nobody waits for anybody, and nothing is left behind.

The memory has no name in any file system: it is gone with the last process that holds it, however that one ended. It is
given to another process by pickling it; the other one opens it through ``/proc`` while the giver still lives.

Python has no memory barriers, and a robot's processor may reorder what another one sees. So a number of 64 bits is
written at once, and whatever is longer carries a checksum: a reader takes a record whole or not at all.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import final

from dmh_edge.errors import RobotError

WORD = 8


@final
class SharedMemory:
    """A piece of memory of some bytes, all zeros at first.

    Args:
        size: in bytes.
        name: seen in ``/proc/PID/maps``.

    Attributes:
        words: the same as numbers of 64 bits with a sign; reading or writing one is atomic.
        bytes: the same as bytes.
    """

    def __init__(self, size: int, name: str) -> None:
        self._name = f"dmh-edge-{name}"
        descriptor = os.memfd_create(self._name)
        os.ftruncate(descriptor, -(-size // WORD) * WORD)
        self._map(descriptor)

    def _map(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapping = mmap.mmap(descriptor, 0)
        self.bytes = memoryview(self._mapping)
        self.words = self.bytes.cast("q")

    def __reduce__(self) -> tuple[object, tuple[int, int, str]]:
        """It is opened anew on the other side, as long as this process lives."""
        return _attach, (os.getpid(), self._descriptor, self._name)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # the mapping lives as long as somebody looks at it
            os.close(self._descriptor)
            del self._descriptor


def _attach(pid: int, descriptor: int, name: str) -> SharedMemory:
    """Open what a process holds.

    Raises:
        RobotError: the process is gone, or is somebody else's.
    """
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise RobotError(
            f"the shared memory {name!r} of process {pid} cannot be reached ({error.strerror}); "
            "that process must live, and belong to the same user"
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
    """Records of one size in shared memory; the newest overwrites the oldest. One process writes, any may read.

    Args:
        memory: holds it.
        offset: where it begins, in bytes; a multiple of 8.
        record: format of one, as for `struct`.
        capacity: how many are kept.
    """

    def __init__(self, memory: SharedMemory, offset: int, record: str, capacity: int) -> None:
        self._words, self._bytes = memory.words, memory.bytes
        self._record, self._head = struct.Struct("<" + record), struct.Struct("<qq")
        self._slot = self.slot_size(record)
        self._count, self._first, self._capacity = offset // WORD, offset + WORD, capacity

    @staticmethod
    def slot_size(record: str) -> int:
        """Bytes of one slot: number and checksum before the record."""
        return 2 * WORD + -(-struct.calcsize("<" + record) // WORD) * WORD

    @classmethod
    def size(cls, record: str, capacity: int) -> int:
        """Bytes that a ring takes."""
        return WORD + capacity * cls.slot_size(record)

    @property
    def count(self) -> int:
        """How many records were ever written."""
        return self._words[self._count]

    def append(self, *values: float) -> None:
        """Write one."""
        number = self._words[self._count]
        at = self._first + number % self._capacity * self._slot
        packed = self._record.pack(*values)
        self._head.pack_into(self._bytes, at, number, zlib.crc32(packed, number & 0xFFFF_FFFF))
        self._bytes[at + 2 * WORD : at + 2 * WORD + len(packed)] = packed
        self._words[self._count] = number + 1

    def read(self, number: int) -> tuple[float, ...] | None:
        """The record of that number, from 0; None when it is not there: not yet, no longer, or not whole."""
        at = self._first + number % self._capacity * self._slot
        begin = at + 2 * WORD
        packed = bytes(self._bytes[begin : begin + self._record.size])
        if self._head.unpack_from(self._bytes, at) != (number, zlib.crc32(packed, number & 0xFFFF_FFFF)):
            return None
        return self._record.unpack(packed)
