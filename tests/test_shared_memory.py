"""Memory between processes: what one writes another reads, whole or not at all, and nothing is left behind."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from dmh_edge.errors import RobotError
from dmh_edge.shared_memory import READERS, Cursor, Ring, SharedMemory
from waiting import PATIENCE_S

RECORD = struct.Struct("<q2d")
READ_RING = Path(__file__).parent / "programs" / "read_ring.py"


def record(number: int) -> bytes:
    return RECORD.pack(number, number / 2, -number)


def publish(ring: Ring, numbers: range) -> None:
    for number in numbers:
        ring.publish(record(number))


def taken(cursor: Cursor, most: int = 1024, *, ended: bool = False) -> list[int]:
    """The numbers that the next records hold."""
    found = list(RECORD.iter_unpack(cursor.take(most, ended=ended)))
    assert all(RECORD.pack(*row) == record(row[0]) for row in found)
    return [row[0] for row in found]


def spoil(ring: Ring, number: int) -> None:
    """Alter one bit of a record, as if it was not whole yet."""
    memory = ring._memory.bytes
    memory[bytes(memory).index(record(number)) + 9] ^= 1


@pytest.fixture
def ring() -> Ring:
    return Ring.create(RECORD.size, 16, "test")


def test_the_newest_records_are_kept():
    records = Ring.create(RECORD.size, 4, "test")
    assert records.read(0) is None
    publish(records, range(10))
    assert records.count == 10
    assert [records.read(number) for number in range(5, 11)] == [None, *map(record, range(6, 10)), None]


def test_records_of_any_size_lie_side_by_side_behind_what_else_is_in_the_memory():
    for size in range(1, 18):
        memory = SharedMemory(24 + 2 * Ring.size(size, 3) + 8, "test")
        one, other = (Ring(memory, 24 + place * Ring.size(size, 3), size, 3) for place in range(2))
        for number in range(5):
            one.publish(bytes([number + 1]) * size)
            other.publish(bytes([number + 101]) * size)
        assert [one.read(number) for number in range(2, 5)] == [bytes([number + 1]) * size for number in range(2, 5)]
        assert other.read(4) == bytes([105]) * size
        assert memory.words[0] == memory.words[2] == memory.words[len(memory.words) - 1] == 0


def test_a_record_of_another_size_is_refused(ring):
    publish(ring, range(1))
    with pytest.raises(ValueError, match="different structures"):
        ring.publish(bytes(RECORD.size + 8))
    assert ring.count == 1


def test_a_record_that_is_not_whole_is_not_read(ring):
    publish(ring, range(3))
    spoil(ring, 1)
    assert [ring.read(number) for number in range(3)] == [record(0), None, record(2)]


def test_a_record_that_stands_under_another_number_is_not_read(ring):
    publish(ring, range(1))
    number = bytes(ring._memory.bytes).index(record(0)) // 8 - 2
    ring._memory.words[number] = 16  # the number of the next record there, as if its bytes could not be seen yet
    assert ring.read(16) is None


def test_records_come_out_whole_in_order_and_once(ring):
    cursor = Cursor(ring)
    publish(ring, range(10))
    first = taken(cursor, 4)
    publish(ring, range(10, 13))
    assert first + taken(cursor) == list(range(13))
    assert len(cursor.take()) == cursor.lost == 0


def test_a_slow_reader_loses_the_oldest_and_knows_how_many(ring):
    cursor = Cursor(ring)
    publish(ring, range(100))
    numbers = taken(cursor)
    assert numbers == list(range(100 - len(numbers), 100))
    assert 0 < len(numbers) <= ring.capacity
    assert cursor.lost + len(numbers) == 100


def test_readers_do_not_disturb_each_other(ring):
    one, other = Cursor(ring), Cursor(ring)
    publish(ring, range(5))
    assert taken(one) == taken(other) == list(range(5))


def test_a_record_that_is_half_written_is_not_given_out(ring):
    cursor = Cursor(ring)
    publish(ring, range(3))
    spoil(ring, 1)
    assert taken(cursor) == [0]
    assert len(cursor.take()) == cursor.lost == 0  # it may still become whole
    assert taken(cursor, ended=True) == [2]  # no writer is left to complete it
    assert cursor.lost == 1


def test_a_record_that_is_half_written_does_not_hold_a_reader_up_for_ever(ring):
    cursor = Cursor(ring)
    publish(ring, range(3))
    spoil(ring, 0)
    publish(ring, range(3, 20))
    assert taken(cursor)[-1] == 19
    assert cursor.lost >= 1


def test_publishing_allocates_nothing_that_stays(ring):
    buffer = memoryview(bytearray(record(7)))
    tracemalloc.start()
    try:
        for _ in range(5000):
            ring.publish(buffer)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1024


def test_the_memory_is_there_before_anything_is_published():
    """A page that the first record in it had to wait for would cost the loop a fault of its own."""
    pages, buffer = 4096, memoryview(bytes(4096 - 16))
    ring = Ring.create(len(buffer), pages, "test")
    ring.publish(buffer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(pages - 1):
        ring.publish(buffer)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < pages / 8


def test_progress_is_seen_by_the_others(ring):
    again = pickle.loads(pickle.dumps(ring))
    again.say_progress(2, 77)
    again.say_progress(READERS - 1, -1)
    assert [ring.progress(reader) for reader in range(READERS)] == [0, 0, 77, 0, 0, 0, -1]
    for reader in (-1, READERS):
        with pytest.raises(IndexError, match=rf"reader {reader} of a ring: expected 0 to 6"):
            ring.say_progress(reader, 1)


def test_pickled_it_is_the_same_memory():
    memory = SharedMemory(8 + Ring.size(RECORD.size, 4), "test")
    other, ring = pickle.loads(pickle.dumps((memory, Ring(memory, 8, RECORD.size, 4))))
    publish(ring, range(1))
    assert Ring(memory, 8, RECORD.size, 4).read(0) == record(0)
    other.words[0] = -5
    assert memory.words[0] == -5


def test_another_process_reads_and_writes_it():
    memory = SharedMemory(8, "test")
    code = (
        "import pickle, sys\nmemory = pickle.loads(bytes.fromhex(sys.argv[1]))\nmemory.words[0] = memory.words[0] * 2\n"
    )
    memory.words[0] = 21
    subprocess.run([sys.executable, "-c", code, pickle.dumps(memory).hex()], check=True, timeout=PATIENCE_S)
    assert memory.words[0] == 42


def test_what_is_no_longer_there_is_not_taken_for_something_else():
    memory = SharedMemory(8, "test")
    pickled = pickle.dumps(memory)
    descriptor = memory._descriptor
    del memory
    with pytest.raises(RobotError, match="cannot be reached"):
        pickle.loads(pickled)
    other = os.open(os.devnull, os.O_RDWR)
    os.dup2(other, descriptor)
    try:
        with pytest.raises(RobotError, match="no longer the shared memory"):
            pickle.loads(pickled)
    finally:
        os.close(descriptor)
        if other != descriptor:
            os.close(other)


def test_descriptors_are_given_back():
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    for _ in range(5):
        ring = Ring.create(RECORD.size, 4, "test")
        other = pickle.loads(pickle.dumps(ring))
        del ring, other
    assert held() == before


def test_a_record_is_never_half_of_one_and_half_of_another_even_when_its_writer_is_killed():
    ring = Ring.create(RECORD.size, 2, "test")
    code = (
        "import pickle, struct, sys\nring = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "number = 0\nwhile True:\n"
        f"    ring.publish(struct.pack({RECORD.format!r}, number, number / 2, -number))\n    number += 1\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, pickle.dumps(ring).hex()])
    seen, until = 0, time.monotonic() + PATIENCE_S
    while seen < 2_000 and time.monotonic() < until:
        newest = ring.count - 1
        found = ring.read(newest)
        if found is not None:
            assert found == record(newest)
            seen += 1
    writer.send_signal(signal.SIGKILL)
    writer.wait(PATIENCE_S)
    assert seen == 2_000
    newest = ring.count - 1
    assert ring.read(newest) == record(newest)


def test_another_process_that_is_lapped_again_and_again_never_sees_a_torn_record():
    """Records of 4 kB in a ring of four: the reader copies while the writer overwrites, thousands of times."""
    ring = Ring.create(4096, 4, "test")
    reader = subprocess.Popen(
        [sys.executable, str(READ_RING), pickle.dumps(ring).hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    number = 0
    while ring.progress(0) < 20_000 and reader.poll() is None:  # the reader says how many it has read
        ring.publish(number.to_bytes(8, "little") * 512)
        number += 1
    out, _ = reader.communicate(timeout=PATIENCE_S)
    read, torn, lost = map(int, out.split())
    assert torn == 0
    assert read >= 20_000
    assert lost > 0  # or the test has not tested anything
    assert read + lost == number
