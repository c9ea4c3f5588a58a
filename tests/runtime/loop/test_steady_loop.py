"""What the loop's thread asks of the machine once it is warm: no page, no memory, and no system call but its sleep.

A committed policy runs on ONNX Runtime and the fake robot in a process of its own, with records. Each rule is also held
against a robot that breaks it, so that each is known to be able to fail. Everything is counted; nothing is timed.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from waiting import PATIENCE_S

PROGRAMS = Path(__file__).parent / "programs"
POLICY = Path(__file__).parents[2] / "policies" / "tiny-continuous"
#: Numbers of the calls that matter, by architecture. Where the kernel gives no time in user space, asking is a call.
CALLS = {
    "x86_64": {"clock_nanosleep": 230, "clock_gettime": 228, "write": 1, "rt_sigaction": 13, "setitimer": 38},
    "aarch64": {"clock_nanosleep": 115, "clock_gettime": 113, "write": 64, "rt_sigaction": 134, "setitimer": 103},
}[platform.machine()]
HORIZON = 50
SHORT_HORIZON = 2  # what is called once an episode is warm as well when the warm-up ends
FOUR_KIB = 4096


def watch(*arguments: Any, by: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `steady_loop.py`, or who watches it, says at the end."""
    command = [sys.executable, *by, str(PROGRAMS / "steady_loop.py"), str(POLICY), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


#: An alarm interrupts a reset that takes too long: set and taken back, each by a call for the timer and one for its
#: signal, before and after.
PER_RESET = 4


def calls(noise: str) -> set[int]:
    """Numbers of the calls that the loop's thread makes in 1,000 warm ticks in real time, resets aside."""
    command = [sys.executable, str(PROGRAMS / "trace_calls.py"), str(PROGRAMS / "steady_loop.py"), str(POLICY)]
    command += ["1000", str(HORIZON), "machine", "try", noise]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    counts = {int(number): count for number, count in json.loads(done.stdout.splitlines()[-1]).items()}
    assert counts[CALLS["clock_nanosleep"]] > 500  # it slept before most of its slots, so it was watched
    resets = 1000 // HORIZON + 1
    assert all(counts.pop(CALLS[name], 0) <= PER_RESET * resets for name in ("rt_sigaction", "setitimer"))
    return set(counts) - {CALLS["clock_gettime"]}


@pytest.mark.parametrize("realtime", ["off", "try"])
def test_a_warm_loop_takes_no_page_fault(realtime):
    """Without locked memory the machine may take a page away at any time; it does not in most windows of 500 ticks."""
    told = watch(5_000, HORIZON, "fake", realtime, "quiet")
    assert len(told["faults"]) == 10
    locked = "locked memory: granted" in told["locked"]
    assert told["faults"].count(0) >= (9 if locked else 6), told["faults"]
    assert sum(told["faults"]) <= 10, told["faults"]


def test_a_page_fault_in_every_tick_would_be_seen():
    assert min(watch(2_000, HORIZON, "fake", "off", "maps")["faults"]) >= 500


def test_a_warm_loop_keeps_nothing():
    ticks = 10_000
    grown = watch(ticks, SHORT_HORIZON, "fake", "off", "quiet", by=("-X", "tracemalloc"))["grown"]
    assert grown < FOUR_KIB * ticks / 100_000


def test_sixteen_bytes_a_tick_would_be_seen():
    ticks = 2_000
    assert watch(ticks, HORIZON, "fake", "off", "keeps", by=("-X", "tracemalloc"))["grown"] > 16 * ticks


def test_the_only_system_call_of_a_warm_loop_is_its_sleep():
    # Episodes end within: collecting garbage needs no call either.
    assert calls("quiet") == {CALLS["clock_nanosleep"]}


def test_a_system_call_of_the_robot_would_be_seen():
    assert calls("calls") == {CALLS["clock_nanosleep"], CALLS["write"]}
