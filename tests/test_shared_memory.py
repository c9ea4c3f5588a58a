"""Memory between processes: what one writes another reads, whole or not at all, and nothing is left behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmh_edge.errors import RobotError
from dmh_edge.shared_memory import Ring, SharedMemory
from waiting import PATIENCE_S

RECORD = "q2d"


def ring(capacity: int = 4) -> tuple[SharedMemory, Ring]:
    memory = SharedMemory(8 + Ring.size(RECORD, capacity), "test")
    return memory, Ring(memory, 8, RECORD, capacity)


def test_the_newest_records_are_kept():
    _, records = ring()
    assert records.read(0) is None
    for number in range(10):
        records.append(number, number / 2, -number)
    assert records.count == 10
    assert [records.read(number) for number in range(5, 11)] == [
        None,
        *((number, number / 2, -number) for number in range(6, 10)),
        None,
    ]


def test_a_record_that_is_not_whole_is_not_read():
    memory, records = ring()
    records.append(1, 2.0, 3.0)
    at = bytes(memory.bytes).index(b"\x00\x40")  # in the middle of the 2.0
    memory.bytes[at] ^= 1
    assert records.read(0) is None


def test_pickled_it_is_the_same_memory():
    memory, records = ring()
    other = pickle.loads(pickle.dumps(memory))
    records.append(7, 0.5, 0.25)
    assert Ring(other, 8, RECORD, 4).read(0) == (7, 0.5, 0.25)
    other.words[0] = -5
    assert memory.words[0] == -5


def test_another_process_reads_and_writes_it():
    memory, _ = ring()
    code = (
        "import pickle, sys\nmemory = pickle.loads(bytes.fromhex(sys.argv[1]))\nmemory.words[0] = memory.words[0] * 2\n"
    )
    memory.words[0] = 21
    subprocess.run([sys.executable, "-c", code, pickle.dumps(memory).hex()], check=True, timeout=PATIENCE_S)
    assert memory.words[0] == 42


def test_what_is_no_longer_there_is_not_taken_for_something_else():
    memory, _ = ring()
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
        memory, records = ring()
        other = pickle.loads(pickle.dumps(memory))
        del memory, records, other
    assert held() == before


def test_a_record_is_never_half_of_one_and_half_of_another_even_when_its_writer_is_killed():
    memory, records = ring(capacity=2)
    code = (
        "import pickle, sys\nfrom dmh_edge.shared_memory import Ring\n"
        "memory = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        f"records = Ring(memory, 8, {RECORD!r}, 2)\n"
        "number = 0\nwhile True:\n    records.append(number, number / 2, -number)\n    number += 1\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, pickle.dumps(memory).hex()])
    seen, until = 0, time.monotonic() + PATIENCE_S
    while seen < 2_000 and time.monotonic() < until:
        newest = records.count - 1
        record = records.read(newest)
        if record is not None:
            assert record == (newest, newest / 2, -newest)
            seen += 1
    writer.send_signal(signal.SIGKILL)
    writer.wait(PATIENCE_S)
    assert seen == 2_000
    newest = records.count - 1
    assert records.read(newest) == (newest, newest / 2, -newest)
