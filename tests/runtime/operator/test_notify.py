"""What a service manager hears, on a real socket in another process; one who does not listen holds up nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dmh_edge.clock import NS_PER_S, FakeClock
from dmh_edge.errors import ConfigError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "service_manager.py"


@contextmanager
def listening(address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), address, str(PATIENCE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> list[list[str]]:
    """The lines of every datagram until the service says that it stops."""
    out, _ = process.communicate(timeout=PATIENCE_S)
    messages: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return [message["lines"] for message in messages]


def run_for(seconds: float) -> None:
    """The fake policy on the fake robot at 50 Hz, on a clock that only sleeping moves."""
    clock = FakeClock(10**9)
    run = Run(
        limits=Limits(duration_s=seconds),
        timing=Timing(clock=clock),
        guard=GuardSettings(longest_clamp_s=1e6),  # the fake policy wishes for what this robot cannot follow
    )
    operate(FakePolicy(), FakeSession(fake_contract(TWO_JOINTS)), FakeRobot(clock=clock), run)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ready_then_alive_once_a_second_then_stopping(tmp_path, monkeypatch, kind):
    address = str(tmp_path / "notify") if kind == "path" else f"@dmh-edge-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with listening(address) as manager:
        run_for(seconds=5.5)
        first, *alive, last = heard(manager)
    assert (first, last) == (["READY=1"], ["STOPPING=1"])
    assert [lines[0] for lines in alive] == ["WATCHDOG=1"] * 6
    assert alive[0][1] == "STATUS=running, 1 ticks"
    assert alive[5][1].startswith("STATUS=running, 2")


def test_a_run_that_cannot_start_never_says_ready(tmp_path, monkeypatch):
    class Unreachable(FakeRobot):
        def connect(self) -> None:
            raise OSError("no route to the robot")

    monkeypatch.setenv("NOTIFY_SOCKET", address := str(tmp_path / "notify"))
    with listening(address) as manager:
        with pytest.raises(Exception, match="no route"):
            operate(FakePolicy(), FakeSession(fake_contract(TWO_JOINTS)), Unreachable(), Run(limits=Limits(ticks=1)))
        assert heard(manager) == [["STOPPING=1"]]


def test_a_manager_that_does_not_listen_holds_up_nobody(tmp_path):
    address = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        closing(Notifier({"NOTIFY_SOCKET": address})) as notifier,
    ):
        deaf.bind(address)
        for second in range(2_000):  # the kernel's queue holds a few hundred at most, and no process empties it
            notifier.alive(second * NS_PER_S, second)
        assert 0 < notifier.dropped < 2_000


def test_a_manager_that_is_gone_is_no_error(tmp_path):
    with closing(Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})) as notifier:
        notifier.say("READY=1")
        assert notifier.dropped == 1


def test_where_there_is_no_manager_nothing_is_opened():
    before = len(list(Path("/proc/self/fd").iterdir()))
    notifier = Notifier({})
    notifier.say("READY=1")
    notifier.alive(0, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert notifier.dropped == 0
    notifier.close()


@pytest.mark.parametrize(("limit_us", "fits"), [("1500000", False), ("2000000", True), ("0", True)])
def test_a_watchdog_that_would_not_wait_for_two_datagrams_is_refused(tmp_path, limit_us, fits):
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": limit_us}
    if fits:
        Notifier(environment).close()
    else:
        with pytest.raises(ConfigError, match=r"WatchdogSec: got 1.5 s, expected at least 2 s"):
            Notifier(environment)


def test_a_watchdog_that_is_shorter_than_a_reset_may_be_is_refused(tmp_path):
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
    Notifier(environment, longest_silence_s=28).close()
    with pytest.raises(ConfigError, match=r"WatchdogSec: got 30 s, expected at least 62 s: .*reset_timeout_s"):
        Notifier(environment, longest_silence_s=60)
