"""cyclictest (package rt-tests) beside the loop: a C program that only sleeps, so its lateness is the machine's own."""

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
#: Longest latency that has a bucket of its own, in microseconds; the longest of all is printed in any case.
_BUCKETS = 100_000
_BUCKET = re.compile(r"^(\d+)\s+(\d+)\s*$", re.MULTILINE)
_FIGURE = r"^# {}:\s*(\d+)"
_NS_PER_US = 1_000


class Latencies(Spec):
    """Result of one run of cyclictest."""

    priority: int
    """SCHED_FIFO priority of cyclictest; 0 for the ordinary scheduling policy."""
    count: int = Field(ge=0)
    """Number of wake-ups."""
    latency: Percentiles
    """Time from the requested wake-up to the real one."""
    later_than_a_period: int
    """Number of wake-ups that were late by more than a period."""


def is_installed() -> bool:
    """Return whether cyclictest is installed."""
    return shutil.which(NAME) is not None


@contextmanager
def beside(period_us: int, seconds: float, core: int | None, priority: int) -> Iterator[list[Latencies]]:
    """Run cyclictest while the block runs.

    Args:
        period_us: time between two wake-ups, in microseconds.
        seconds: duration of the run, in seconds.
        core: core that cyclictest is tied to; None for any core.
        priority: SCHED_FIFO priority of cyclictest; 0 for the ordinary scheduling policy.

    Yields:
        a list that contains the result after the block has ended; it stays empty if cyclictest is not installed.

    Raises:
        BackendError: cyclictest failed.
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
    """Parse the output of cyclictest.

    Args:
        text: output of cyclictest.
        period_us: time between two wake-ups, in microseconds.
        priority: SCHED_FIFO priority of cyclictest; 0 for the ordinary scheduling policy.

    Raises:
        BackendError: the output contains no histogram.
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
    for _ in range(int(over[1])):  # longer than any bucket: each counts as the longest of all
        histogram.add(int(longest[1]) * _NS_PER_US)
        late += int(longest[1]) > period_us
    return Latencies(
        priority=priority, count=histogram.count, latency=Percentiles.of(histogram), later_than_a_period=late
    )
