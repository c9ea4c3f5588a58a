"""Reads a ring whose records hold their own number 512 times, and looks whether each does.

    read_ring.py RING

RING is a pickled ring, in hexadecimal digits. The program prints ``ready``, ends when its standard input does, and then
prints how many records it read, how many were torn, and how many it lost.
"""

from __future__ import annotations

import pickle
import select
import sys

from dmh_edge.shared_memory import Cursor


def main() -> None:
    ring = pickle.loads(bytes.fromhex(sys.argv[1]))
    cursor = Cursor(ring)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    read = torn = 0
    while True:
        ended = bool(select.select([0], [], [], 0)[0])
        record = cursor.take(1, ended=ended)
        if record:
            read += 1
            torn += record != (cursor.position - 1).to_bytes(8, "little") * 512
        ring.say_progress(0, read)
        if ended and not record:
            break
    sys.stdout.write(f"{read} {torn} {cursor.lost}\n")


main()
