"""Load on the other cores: stress-ng if it is installed, else processes of our own that compute and copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: A program that computes, and copies 32 MiB, which does not fit into a core's own cache.
_BUSY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
one, other = bytearray(1 << 25), bytearray(1 << 25)
while True:
    other[:] = one
    sum(range(100_000))
"""


@contextmanager
def busy(cores: set[int]) -> Iterator[str]:
    """Keep cores busy while the block runs.

    Args:
        cores: numbers of the cores; at least one.

    Yields:
        name of what keeps them busy.
    """
    numbers = sorted(cores)
    if shutil.which("stress-ng"):
        name = "stress-ng"
        listed = ",".join(map(str, numbers))
        commands = [
            ["stress-ng", "--quiet", "--taskset", listed, "--cpu", str(len(numbers)), "--vm", str(len(numbers))]
        ]
    else:
        name = "our own busy process"
        commands = [[sys.executable, "-c", _BUSY, str(number)] for number in numbers]
    processes = [subprocess.Popen(command) for command in commands]
    try:
        yield name
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
