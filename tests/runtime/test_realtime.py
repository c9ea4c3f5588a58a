"""Real time, asked of the kernel that runs the tests: what it grants is really so, and what it refuses is said."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dmh_edge.runtime.realtime import Grant, chosen_core, cores_of
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "ask_realtime.py"
LOCK = PROGRAM.with_name("lock_memory.py")
CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23


def ask(mode: str, privileges: str) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), mode, privileges]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_what_is_granted_is_so_in_the_asking_thread_alone_and_is_given_back():
    told = ask("try", "as-given")
    inside, before = told["inside"], told["before"]
    granted = {what.split()[0]: not refusal for what, refusal, _ in told["grants"]}
    assert set(granted) == {"locked", "timer", "SCHED_FIFO", "core"}
    assert (inside["policy"] == os.SCHED_FIFO) == granted["SCHED_FIFO"]
    assert (inside["cores"] == [chosen_core()]) == (granted["core"] or len(before["cores"]) == 1)
    assert inside["locked"] == granted["locked"]
    assert granted["timer"]
    assert inside["slack_ns"] <= 1 < before["slack_ns"]
    other = told["other thread"]
    assert (other["policy"], other["cores"]) == (before["policy"], before["cores"])
    assert told["child"] == os.SCHED_OTHER
    assert told["after"] == before


def test_locking_fetches_files_and_what_comes_later_but_not_what_nobody_has_touched(tmp_path):
    (tmp_path / "file").write_bytes(bytes(32 << 20))
    command = [sys.executable, str(LOCK), str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    told = json.loads(done.stdout)
    if not told["granted"]:
        assert told["later"] < 1 << 20
        return
    libraries = 24 << 20
    assert told["file"] <= told["there"] < told["file"] + libraries
    assert told["mapped later"] <= told["later"] < told["mapped later"] + (1 << 20)


def test_require_starts_exactly_where_everything_can_be_had():
    status = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line for line in status if line.startswith("CapEff:")).split()[1], 16)
    limits = {name: resource.getrlimit(name)[0] for name in (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK)}
    may_run_first = effective >> CAP_SYS_NICE & 1 or limits[resource.RLIMIT_RTPRIO] != 0
    may_lock = effective >> CAP_IPC_LOCK & 1 or limits[resource.RLIMIT_MEMLOCK] == resource.RLIM_INFINITY
    told = ask("require", "as-given")
    assert (told["refused"] == "") == bool(may_run_first and may_lock), told["refused"]


def test_without_privileges_every_refusal_names_what_would_grant_it():
    told = ask("try", "none")
    refused = {what.split()[0]: (refusal, remedy) for what, refusal, remedy in told["grants"] if refusal}
    assert set(refused) == {"locked", "SCHED_FIFO", "core"}
    assert "limit is 64 KiB" in refused["locked"][0]
    for wanted in (
        "memlock unlimited",
        "limits.d",
        "LimitMEMLOCK=infinity",
        "--cap-add IPC_LOCK",
    ):
        assert wanted in refused["locked"][1], wanted
    for wanted in ("rtprio 81", "limits.d", "LimitRTPRIO=81", "--cap-add SYS_NICE"):
        assert wanted in refused["SCHED_FIFO"][1], wanted
    assert told["inside"]["cores"] == told["before"]["cores"]  # tied to a core without priority it would be worse off
    assert told["inside"]["slack_ns"] == 1
    assert told["after"] == told["before"]


def test_require_refuses_with_a_sentence_for_each_thing_and_leaves_everything_as_it_was():
    told = ask("require", "none")
    first, *sentences = told["refused"].splitlines()
    assert first == "--realtime require:"
    assert [sentence.split()[0] for sentence in sentences] == ["locked", "SCHED_FIFO", "core"]
    assert all("not granted" in sentence for sentence in sentences)
    assert "inside" not in told
    assert told["after"] == told["before"]


def test_off_asks_for_nothing():
    told = ask("off", "as-given")
    assert told["grants"] == []
    assert told["inside"] == told["before"] == told["after"]


def test_throttling_is_warned_of_where_the_kernel_throttles():
    runtime_us = int(Path("/proc/sys/kernel/sched_rt_runtime_us").read_text())
    period_us = int(Path("/proc/sys/kernel/sched_rt_period_us").read_text())
    warned = [warning for warning in ask("off", "as-given")["warnings"] if "throttling" in warning]
    assert len(warned) == (0 <= runtime_us < period_us)
    assert all("sysctl -w kernel.sched_rt_runtime_us=-1" in warning for warning in warned)


def test_the_chosen_core_is_the_last_of_those_that_the_operator_leaves():
    allowed = os.sched_getaffinity(0)
    try:
        for core in allowed:
            os.sched_setaffinity(0, {core})
            assert chosen_core() == core
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("allowed", "isolated", "chosen"),
    [
        ({0, 1, 2, 3}, set(), 3),
        ({0, 1, 3}, {2}, 2),  # as the kernel starts everybody
        ({0, 1}, {2, 3}, 3),
        ({0, 2}, {2}, 2),
        ({0, 1}, {2}, 1),  # somebody left out core 3, which is not isolated: that is a choice
    ],
)
def test_an_isolated_core_is_chosen_unless_the_operator_chose_others(monkeypatch, allowed, isolated, chosen):
    cores = {"online": {0, 1, 2, 3}, "isolated": isolated}
    monkeypatch.setattr("dmh_edge.runtime.realtime._cores", cores.__getitem__)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: allowed)
    assert chosen_core() == chosen


@pytest.mark.parametrize(("listed", "cores"), [("", set()), ("3", {3}), ("0-2,7", {0, 1, 2, 7})])
def test_the_kernels_lists_of_cores_are_read(listed, cores):
    assert cores_of(listed) == cores


def test_a_grant_is_one_sentence():
    assert str(Grant("locked memory")) == "locked memory: granted"
    assert str(Grant("locked memory", "the limit is 64 KiB", "raise it")) == (
        "locked memory: not granted, the limit is 64 KiB; raise it"
    )
