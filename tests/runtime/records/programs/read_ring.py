"""Reads a ring whose records hold one number 512 times, and looks whether each does.

    read_ring.py DESCRIPTOR CAPACITY

It prints ``ready``, ends when its standard input does, and then prints how many records it read, how many were torn,
and how many it lost.
"""

from __future__ import annotations

import select
import sys

from dmh_edge.runtime.records.ring import Ring, RingReader, record_dtype


def main() -> None:
    ring = Ring(int(sys.argv[1]), record_dtype([("value", "<u8", (512,))]), int(sys.argv[2]))
    reader = RingReader(ring)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    read = torn = 0
    while True:
        ended = bool(select.select([0], [], [], 0)[0])
        records = reader.take(ended=ended)
        values = records["value"]
        read += len(records)
        torn += int((values != records["sequence"][:, None]).any(1).sum())
        ring.say_progress(0, read)
        if ended and not len(records):
            break
    sys.stdout.write(f"{read} {torn} {reader.lost}\n")


main()
