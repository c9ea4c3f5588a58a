from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dmh_edge.runtime.records.ring import Entry, Ring, RingReader, record_dtype
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "read_ring.py"
RECORD = record_dtype([("value", "<f4", (3,)), ("flag", "?")])


@pytest.fixture
def ring():
    ring = Ring.create(RECORD, 16)
    yield ring
    ring.close()


def publish(ring: Ring, entry: Entry, numbers: range) -> None:
    for number in numbers:
        entry.fields["value"][:] = number
        ring.publish(entry)


def test_records_come_out_whole_in_order_and_once(ring):
    reader, entry = RingReader(ring), Entry(RECORD)
    publish(ring, entry, range(10))
    first = reader.take(4)
    publish(ring, entry, range(10, 13))
    rest = reader.take()
    assert [*first["value"][:, 2], *rest["value"][:, 0]] == list(range(13))
    assert len(reader.take()) == reader.lost == 0


def test_a_slow_reader_loses_the_oldest_and_knows_how_many(ring):
    reader, entry = RingReader(ring), Entry(RECORD)
    publish(ring, entry, range(100))
    values = reader.take()["value"][:, 0].tolist()
    assert values == list(range(100 - len(values), 100))
    assert 0 < len(values) <= ring.capacity
    assert reader.lost + len(values) == 100


def test_readers_do_not_disturb_each_other(ring):
    one, other, entry = RingReader(ring), RingReader(ring), Entry(RECORD)
    publish(ring, entry, range(5))
    assert len(one.take()) == 5
    assert len(other.take()) == 5


def test_a_record_that_is_half_written_is_not_given_out(ring):
    reader, entry = RingReader(ring), Entry(RECORD)
    publish(ring, entry, range(3))
    ring.slot(1)[2] ^= np.uint64(1 << 13)  # a number of record 1 is not what its checksum says
    assert len(reader.take()) == 1
    assert len(reader.take()) == reader.lost == 0  # it may still become whole
    assert reader.take(ended=True)["value"][:, 0].tolist() == [2]  # nobody is left who could complete it
    assert reader.lost == 1


def test_a_record_that_is_half_written_does_not_hold_a_reader_up_for_ever(ring):
    reader, entry = RingReader(ring), Entry(RECORD)
    publish(ring, entry, range(3))
    ring.slot(0)[2] ^= np.uint64(1)
    publish(ring, entry, range(3, 20))
    assert reader.take()["value"][-1, 0] == 19
    assert reader.lost >= 1


def test_publishing_allocates_nothing_that_stays(ring):
    entry = Entry(RECORD)
    tracemalloc.start()
    try:
        publish(ring, entry, range(5000))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1024


def test_progress_is_seen_by_the_others(ring):
    again = Ring(os.dup(ring.descriptor), RECORD, ring.capacity)
    again.say_progress(2, 77)
    assert [ring.progress(reader) for reader in range(4)] == [0, 0, 77, 0]
    again.close()


def test_another_process_that_is_lapped_again_and_again_never_sees_a_torn_record():
    """Records of 4 kB in a ring of four: the reader copies while the writer overwrites, thousands of times."""
    record = record_dtype([("value", "<u8", (512,))])
    ring, entry = Ring.create(record, 4), Entry(record)
    reader = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(ring.descriptor), str(ring.capacity)],
        pass_fds=(ring.descriptor,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    number = 0
    while ring.progress(0) < 20_000 and reader.poll() is None:  # the reader says how many it has read
        entry.fields["value"][:] = number
        ring.publish(entry)
        number += 1
    out, _ = reader.communicate(timeout=PATIENCE_S)
    ring.close()
    read, torn, lost = map(int, out.split())
    assert torn == 0
    assert read >= 20_000
    assert lost > 0  # or the test has not tested anything
    assert read + lost == number
