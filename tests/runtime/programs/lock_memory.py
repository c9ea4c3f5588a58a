"""Locks memory in a process of its own, and prints as JSON what of it is resident, in bytes, by where it came from.

    lock_memory.py FILE

FILE is mapped, and never read, before memory is locked.
"""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

from dmh_edge.runtime.realtime import real_time

SIZE = 32 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def main() -> None:
    with Path(sys.argv[1]).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        untouched = mmap.mmap(-1, SIZE)
        before = resident()
        with real_time("try") as grants:
            locked = resident()
            later = mmap.mmap(-1, SIZE)
            grown = resident()
        told = {"granted": not grants[0].refusal, "there": locked - before, "later": grown - locked}
        sys.stdout.write(
            json.dumps(told | {"file": len(mapped), "untouched": len(untouched), "mapped later": len(later)})
        )


if __name__ == "__main__":
    main()
