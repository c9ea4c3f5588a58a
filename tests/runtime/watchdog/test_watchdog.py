"""When the watchdog stops the robot, on a time of its own; and its process with a real stop path."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dmh_edge import processes
from dmh_edge.clock import MonotonicClock
from dmh_edge.errors import RobotError
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.runtime.watchdog.heartbeat import Heartbeat, Phase
from dmh_edge.runtime.watchdog.supervision import Supervision, WatchdogFired
from dmh_edge.runtime.watchdog.watchdog import LAST_TRIES_S, MS, WatchdogConfig, watch
from waiting import PATIENCE_S, wait_for

PERIOD_NS = 20 * MS
RESET_NS = 1_000 * MS


class Life:
    """A loop as its watchdog sees it: what it does at which time, on a clock that waiting moves."""

    def __init__(self, *beats: tuple[int, Phase], ends_ms: int = 10**9) -> None:
        self.heartbeat = Heartbeat()
        self._beats, self._ends_ns = list(beats), ends_ms * MS
        self.now_ns = 0
        self._catch_up()

    def _catch_up(self) -> None:
        while self._beats and self._beats[0][0] * MS <= self.now_ns:
            at_ms, phase = self._beats.pop(0)
            self.heartbeat.beat(phase, at_ms * MS)

    def ended(self, wait_ns: int) -> bool:
        assert wait_ns > 0
        until_ns = min(self.now_ns + wait_ns, max(self._ends_ns, self.now_ns))
        self.now_ns = until_ns
        self._catch_up()
        return until_ns >= self._ends_ns

    def watch(self) -> tuple[Phase, int] | None:
        return watch(WatchdogConfig(self.heartbeat, 0, PERIOD_NS, RESET_NS), self.ended, lambda: self.now_ns)


def running(from_ms: int, to_ms: int) -> list[tuple[int, Phase]]:
    return [(at_ms, Phase.RUNNING) for at_ms in range(from_ms, to_ms + 1, 20)]


def test_a_loop_that_checks_in_is_left_alone_and_its_silence_stops_the_robot() -> None:
    life = Life((0, Phase.DISARMED), *running(5_000, 9_000))
    assert life.watch() == (Phase.RUNNING, 90 * MS + 1)
    assert life.now_ns == 9_090 * MS + 1  # 3 periods and 50 ms leave it 20 ms to be on time


def test_a_loop_that_is_two_slots_late_now_and_then_is_left_alone() -> None:
    beats = [(at_ms, Phase.RUNNING) for at_ms in range(0, 4_000, 80)]
    assert Life(*beats, (4_000, Phase.DISARMED), ends_ms=5_000).watch() is None


@pytest.mark.parametrize(
    ("phase", "limit_ms"), [(Phase.RESETTING, 2_000), (Phase.STOPPING, 2_000), (Phase.RUNNING, 90)]
)
def test_every_phase_has_its_own_limit(phase: Phase, limit_ms: int) -> None:
    assert Life((0, Phase.RUNNING), (50, phase)).watch() == (phase, limit_ms * MS + 1)


def test_before_the_robot_is_armed_the_loop_may_be_silent() -> None:
    assert Life(ends_ms=100_000).watch() is None


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.RESETTING, Phase.STOPPING])
def test_a_loop_that_ends_with_the_robot_armed_is_not_waited_for(phase: Phase) -> None:
    assert Life((0, phase), ends_ms=30).watch() == (phase, 30 * MS)


def test_a_beat_is_one_number_whatever_it_says() -> None:
    heartbeat = Heartbeat()
    for phase in Phase:
        heartbeat.beat(phase, 2**59 + 12345)
        assert heartbeat.last_beat() == (phase, 2**59 + 12345)


class Stoppable(FakeRobot):
    """The fake robot with a stop path, or nothing at all that stops it."""

    def __init__(self, stop_path: Callable[[], None] | None) -> None:
        super().__init__()
        self.stop_path = stop_path
        self.command_timeout_s = None


class Watched:
    """A real watchdog, and what it was given."""

    def __init__(self, counted_stop: ModuleType) -> None:
        self.stop = counted_stop.Stop()
        self.supervision = Supervision(PERIOD_NS, MonotonicClock(), reset_timeout_s=30)
        self.supervision.begin(Stoppable(self.stop))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.supervision._process is not None
        return self.supervision._process


@pytest.fixture
def counted_stop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that the other process can import as well."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "programs"))
    return importlib.import_module("counted_stop")


@pytest.fixture
def watched(counted_stop: ModuleType) -> Iterator[Watched]:
    """Not armed yet."""
    made = Watched(counted_stop)
    yield made
    made.supervision.tell(Phase.DISARMED)
    made.supervision.end()


def test_silence_stops_the_robot_and_the_loop_learns_of_it(
    capfd: pytest.CaptureFixture[str], counted_stop: ModuleType
) -> None:
    watched = Watched(counted_stop)  # here, as pytest looks at what is written between fixture and test by other means
    watched.supervision.check_in(Phase.RUNNING)
    wait_for(lambda: watched.supervision._heartbeat.confirmed_ns)
    with pytest.raises(WatchdogFired, match=r"silent for \d\.\d+ s while running$"):
        watched.supervision.check()
    with pytest.raises(WatchdogFired):
        watched.supervision.check_in(Phase.RUNNING)
    assert watched.stop.calls == 1
    assert watched.process.poll() is None  # it ends with the loop
    watched.supervision.end()
    assert "watchdog: the loop was silent for" in capfd.readouterr().err


def test_a_stop_path_that_fails_is_called_until_it_works(watched: Watched) -> None:
    watched.stop.fail(3)
    watched.supervision.check_in(Phase.RUNNING)
    wait_for(lambda: watched.stop.calls >= 1)
    assert "has not confirmed" in watched.supervision.verdict
    wait_for(lambda: watched.supervision._heartbeat.confirmed_ns)
    assert watched.stop.calls == 4
    assert "has not confirmed" not in watched.supervision.verdict


def test_a_run_that_ends_well_never_calls_the_stop_path(watched: Watched) -> None:
    for phase in (Phase.RESETTING, Phase.RUNNING, Phase.STOPPING, Phase.DISARMED):
        watched.supervision.check_in(phase)
    process = watched.process
    watched.supervision.end()
    assert (process.returncode, watched.stop.calls, watched.supervision.verdict) == (0, 0, "")


def test_a_robot_that_did_not_confirm_its_stop_is_stopped_once_more(watched: Watched) -> None:
    watched.supervision.check_in(Phase.RESETTING)
    watched.supervision.tell(Phase.STOPPING)
    watched.supervision.end()
    assert watched.stop.calls == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_no_signal_of_a_terminal_or_of_systemd_ends_it(watched: Watched, number: signal.Signals) -> None:
    watched.process.send_signal(number)
    watched.supervision.check_in(Phase.RUNNING)
    wait_for(lambda: watched.stop.calls)
    assert os.getsid(watched.process.pid) == watched.process.pid


def test_a_loop_whose_watchdog_was_killed_does_not_go_on(watched: Watched) -> None:
    watched.process.kill()

    def check_in_for_a_while() -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            watched.supervision.check_in(Phase.RUNNING)
            time.sleep(0.02)

    with pytest.raises(RobotError, match="watchdog has not looked for 2"):
        check_in_for_a_while()
    assert watched.stop.calls == 0


def test_it_leaves_the_core_that_the_loop_was_given(counted_stop: ModuleType) -> None:
    before = os.sched_getaffinity(0)
    others = before - {min(before)} or before
    os.sched_setaffinity(0, {min(before)})
    try:
        with processes.started_on(others):
            watched = Watched(counted_stop)
    finally:
        os.sched_setaffinity(0, before)
    assert os.sched_getaffinity(watched.process.pid) == others
    watched.supervision.end()


def test_a_stop_path_that_another_process_cannot_import_is_refused_before_the_robot_is_armed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("only_here")
    monkeypatch.setitem(sys.modules, "only_here", module)
    exec("def stop(): ...", module.__dict__)
    with pytest.raises(RobotError, match="another process cannot import the stop path"):
        supervise(module.stop)


def supervise(stop_path: Callable[[], None] | None = None, **more: object) -> Supervision:
    supervision = Supervision(PERIOD_NS, MonotonicClock(), reset_timeout_s=30, **more)
    robot = Stoppable(stop_path)
    try:
        supervision.begin(robot)
    finally:
        supervision.end()
    return supervision


def test_a_robot_that_nothing_would_stop_is_refused_unless_somebody_stands_by() -> None:
    with pytest.raises(RobotError, match="--attended"):
        supervise()
    supervise(attended=True).check_in(Phase.RUNNING)


def test_as_process_1_which_takes_the_watchdog_with_it_a_robot_needs_a_command_timeout(
    counted_stop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmh_edge.runtime.watchdog.supervision.os.getpid", lambda: 1)
    robot = Stoppable(counted_stop.Stop())
    with pytest.raises(RobotError, match="process 1 of a container"):
        Supervision(PERIOD_NS, MonotonicClock(), reset_timeout_s=30).begin(robot)


def test_a_watchdog_that_cannot_stop_the_robot_is_let_try_after_the_loop_has_gone(counted_stop: ModuleType) -> None:
    made = Watched(counted_stop)
    made.stop.fail(times=10**6)
    made.supervision.tell(Phase.STOPPING)
    began_s = time.monotonic()
    made.supervision.end()
    assert time.monotonic() - began_s > LAST_TRIES_S
    assert made.stop.calls > LAST_TRIES_S / 0.1


def test_a_robot_with_a_command_timeout_needs_no_watchdog_nor_does_one_whose_time_stands_still() -> None:
    for robot in (FakeRobot(), Stoppable(None)):
        robot.lockstep = robot.command_timeout_s is None
        supervision = Supervision(PERIOD_NS, MonotonicClock(), reset_timeout_s=30)
        supervision.begin(robot)
        assert supervision._process is None


def test_neither_the_watchdog_nor_the_stop_path_of_an_arm_imports_anything_heavy() -> None:
    code = "import sys, dmh_edge.runtime.watchdog.watchdog, dmh_edge.robots.mujoco_link\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    heavy = {"numpy", "pydantic", "rich", "typer", "gymnasium", "mujoco", "onnxruntime", "multiprocessing"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.realtime
def test_the_watchdog_of_a_loop_in_real_time_runs_before_it(counted_stop: ModuleType) -> None:
    """Although the loop hands no priority on to its children."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(7))
    try:
        made = Watched(counted_stop)
        process = made.process.pid
        assert (os.sched_getscheduler(process), os.sched_getparam(process).sched_priority) == (os.SCHED_FIFO, 8)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    made.supervision.tell(Phase.DISARMED)
    made.supervision.end()
