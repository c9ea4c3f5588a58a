"""cyclictest (package rt-tests) beside the loop: a C program that only sleeps. What it sees is the machine's share."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from dmh_edge.errors import BackendError
from dmh_edge.runtime.report.histogram import Histogram
from dmh_edge.runtime.report.summary import Percentiles
from dmh_edge.schema import Spec

NAME = "cyclictest"
#: Longest latency that has a bucket of its own, in microseconds; the longest of all is told in any case.
_BUCKETS = 100_000
_BUCKET = re.compile(r"^(\d+)\s+(\d+)\s*$", re.MULTILINE)
_FIGURE = r"^# {}:\s*(\d+)"
_NS_PER_US = 1_000


class Latencies(Spec):
    """What one run of cyclictest saw."""

    priority: int
    """Its SCHED_FIFO priority; 0 for ordinary."""
    count: int = Field(ge=0)
    """Times that it woke up."""
    latency: Percentiles
    """From the time it asked for to the time it woke up."""
    later_than_a_period: int
    """How often it woke up after the next time that it would have asked for."""


def is_installed() -> bool:
    """Whether there is one."""
    return shutil.which(NAME) is not None


@contextmanager
def beside(period_us: int, seconds: float, core: int | None, priority: int) -> Iterator[list[Latencies]]:
    """Run cyclictest while the block runs.

    Args:
        period_us: between two times that it wakes up.
        seconds: how long.
        core: to be tied to; None for any.
        priority: SCHED_FIFO priority; 0 for ordinary.

    Yields:
        a list that holds the result once the block has been left; it stays empty where cyclictest is not installed.

    Raises:
        BackendError: it failed.
    """
    found: list[Latencies] = []
    if not is_installed():
        yield found
        return
    command = [NAME, "--quiet", f"--interval={period_us}", f"--duration={math.ceil(seconds)}"]
    command += [f"--histogram={_BUCKETS}", "--threads=1"]
    command += [f"--priority={priority}", "--policy=fifo", "--mlockall"] if priority else ["--policy=other"]
    command += [] if core is None else [f"--affinity={core}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield found
            out, err = process.communicate(timeout=seconds + 60)
        finally:
            process.kill()
    if process.returncode != 0:
        raise BackendError(f"{' '.join(command)} failed with exit code {process.returncode}: {err.strip() or out}")
    found.append(read(out, period_us, priority))


def read(text: str, period_us: int, priority: int) -> Latencies:
    """Make sense of what cyclictest prints.

    Raises:
        BackendError: it printed something else.
    """
    histogram = Histogram()
    late = 0
    for latency_us, count in ((int(us), int(count)) for us, count in _BUCKET.findall(text)):
        late += count if latency_us > period_us else 0
        for _ in range(count):
            histogram.add(latency_us * _NS_PER_US)
    longest = re.search(_FIGURE.format("Max Latencies"), text, re.MULTILINE)
    over = re.search(_FIGURE.format("Histogram Overflows"), text, re.MULTILINE)
    if longest is None or over is None:
        raise BackendError(f"cyclictest printed no histogram that can be read; it ended with {text[-200:]!r}")
    for _ in range(int(over[1])):  # longer than any bucket: taken for the longest
        histogram.add(int(longest[1]) * _NS_PER_US)
        late += int(longest[1]) > period_us
    return Latencies(
        priority=priority, count=histogram.count, latency=Percentiles.of(histogram), later_than_a_period=late
    )
