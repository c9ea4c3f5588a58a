"""A whole run with its records, on a fake clock; and a real process that gets real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmh_edge.clock import FakeClock
from dmh_edge.errors import ArtifactError, ConfigError, ContractError, DmhEdgeError, RobotError
from dmh_edge.files import TEMPORARY_PREFIX
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.loop import Loop
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.records.recorder import Recorder
from dmh_edge.runtime.records.run_records import Keeping, RunRecords
from dmh_edge.runtime.records.trace_recorder import TraceRecorder
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.policy import RunnablePolicy
from dmh_edge.runtime.sessions.replay import replay
from dmh_edge.runtime.sessions.state_file import Learned
from dmh_edge.schema import parse
from dmh_edge.task import TaskSpec
from dmh_edge.trace import Trace
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "run_fake.py"
CONTRACT = fake_contract(TWO_JOINTS)
#: A slot of the program lasts ten seconds, and what blocks does so for a minute: nobody waited for its end.
SOON_NS = 4_000_000_000


class Watched(FakeRobot):
    """Fails to read from its n-th reading on, and remembers whether it was touched."""

    def __init__(self, clock: FakeClock, fails_at: int = 10**9, task: TaskSpec = TWO_JOINTS) -> None:
        super().__init__(task, clock=clock)
        self.calls: list[str] = []
        self._fails_at = fails_at

    def connect(self) -> None:
        self.calls.append("connect")
        super().connect()

    def read(self) -> Reading:
        self.calls.append("read")
        if self.calls.count("read") > self._fails_at:
            raise OSError("unplugged")
        return super().read()

    def stop(self) -> None:
        self.calls.append("stop")
        super().stop()


#: Which options of a run belong together; the rest are its own.
GROUPS = {
    "timing": (Timing, {"rate_hz", "paced_by", "realtime"}),
    "learned": (Learned, {"path", "forget"}),
    "keeping": (Keeping, {"out", "mcap", "live", "about"}),
    "attendance": (Attendance, {"operator", "terminal", "armed", "attended"}),
}


def run(
    robot: Watched | None = None,
    session: FakeSession | None = None,
    policy: RunnablePolicy | None = None,
    **options,
) -> Summary:
    robot = robot or Watched(FakeClock(10**9))
    groups = {
        group: kind(**{name: options.pop(name) for name in names & set(options)})
        for group, (kind, names) in GROUPS.items()
    }
    groups["timing"] = replace(groups["timing"], clock=robot._clock)
    given = Run(**{"limits": Limits(ticks=60), "noise_seed": 3} | groups | options)
    return operate(policy or FakePolicy("p"), session or FakeSession(CONTRACT), robot, given)


def fill_the_disk_for(path: Path) -> None:
    """Make the temporary file behind ``path`` one that the kernel has no room for: needs neither root nor a mount."""
    (path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}").symlink_to("/dev/full")


def test_a_run_leaves_its_trace_and_its_summary(tmp_path):
    summary = run(out=tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["guard.json", "page.html", "summary.json", "trace.npz"]
    assert parse(Summary, (tmp_path / "run" / "summary.json").read_text(), "summary") == summary
    assert Trace.load(tmp_path / "run" / "trace.npz").ticks == summary.ticks == 60


def test_what_else_is_known_of_a_run_is_told_with_it(tmp_path):
    about = {"robot": "mine", "seed": "7"}
    assert run(out=tmp_path / "run", about=about).about == about
    assert "mine" in (tmp_path / "run" / "page.html").read_text()


def test_without_a_folder_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run().ticks == 60
    assert list(tmp_path.iterdir()) == []


def test_the_seed_decides_the_run_and_no_seed_means_no_noise(tmp_path):
    def actions(name: str, seed: int | None) -> np.ndarray:
        run(out=tmp_path / name, noise_seed=seed)
        return Trace.load(tmp_path / name / "trace.npz").outputs["action"]

    assert np.array_equal(actions("a", 3), actions("b", 3))
    assert not np.array_equal(actions("c", 3), actions("d", 4))
    assert np.array_equal(actions("e", None), actions("f", None))
    assert not Trace.load(tmp_path / "e" / "trace.npz").world["noise"].any()


def test_what_was_learned_is_kept_and_gone_on_with(tmp_path):
    state = tmp_path / "learned.npz"
    run(path=state, out=tmp_path / "a", limits=Limits(episodes=1))
    run(path=state, out=tmp_path / "b", limits=Limits(ticks=1))
    before, after = (Trace.load(tmp_path / name / "trace.npz") for name in "ab")
    for name, array in before.final_state.items():
        assert np.array_equal(after.initial_state[name], array)
    assert after.world["episode_start"][0]
    assert after.world["reward"][0] > 0  # of the last action before
    assert not before.world["reward"][0].any()


def test_the_trace_of_a_real_policy_replays_through_its_engine(policy, open_session, tmp_path):
    robot = Watched(FakeClock(10**9), task=policy.contract.task)
    summary = run(
        robot, open_session(1), out=tmp_path / "run", policy=FakePolicy(policy.sha256), limits=Limits(ticks=200)
    )
    assert (summary.ticks, robot.monitor.violations) == (200, [])
    comparison = replay(Trace.load(tmp_path / "run" / "trace.npz"), open_session(1))
    assert (comparison.require().ticks, comparison.figure().worst_error) == (200, 0)


def test_a_state_of_another_policy_moves_nothing_and_is_left_alone(tmp_path):
    state = tmp_path / "learned.npz"
    run(path=state)
    before = state.read_bytes()
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ContractError, match="another policy"):
        run(robot, path=state, policy=FakePolicy("q"))
    assert "connect" not in robot.calls
    assert state.read_bytes() == before


def test_what_another_policy_learned_is_not_forgotten_either(tmp_path):
    state = tmp_path / "learned.npz"
    run(path=state)
    before = state.read_bytes()
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ContractError, match="another policy"):
        run(robot, path=state, forget=True, policy=FakePolicy("q"))
    assert "connect" not in robot.calls
    assert state.read_bytes() == before


def test_it_is_said_with_which_memory_a_run_begins(tmp_path):
    said: list[str] = []
    state = tmp_path / "learned.npz"
    run(path=state, say=said.append)
    assert f"{state} does not exist yet: the policy begins with an empty memory" in said
    said.clear()
    run(path=state, say=said.append)
    assert not any("empty memory" in line for line in said)
    assert f"the policy begins with what it learned in {state}" in said
    run(path=state, dry_run=True, say=said.append)
    assert f"the policy begins with what it learned in {state}, which is left as it is" in said
    run(path=state, forget=True, say=said.append)
    assert f"{state} will be replaced: the policy begins with an empty memory" in said
    run(path=state, forget=True, dry_run=True, say=said.append)
    assert f"{state} is left as it is: the policy begins with an empty memory" in said
    run(path=tmp_path / "mistyped.npz", dry_run=True, say=said.append)
    assert f"{tmp_path / 'mistyped.npz'} does not exist yet: the policy begins with an empty memory" in said


def test_a_self_test_that_fails_leaves_what_was_learned_alone(tmp_path):
    state = tmp_path / "learned.npz"
    run(path=state)
    before = state.read_bytes()

    def fail() -> None:
        raise RobotError("not today")

    with pytest.raises(RobotError):
        run(path=state, policy=FakePolicy("p", fail), out=tmp_path / "run")
    assert state.read_bytes() == before
    assert list(tmp_path.iterdir()) == [state]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_moves(tmp_path):
    (tmp_path / "file").write_text("")
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ArtifactError, match=r"file/run cannot be written: Not a directory"):
        run(robot, out=tmp_path / "file" / "run")
    with pytest.raises(ArtifactError, match=r"cannot be written"):
        run(robot, path=tmp_path / "file" / "state.npz")
    with pytest.raises(ArtifactError, match=r"/proc/run cannot be written"):
        run(robot, out=Path("/proc/run"))
    assert robot.calls == []


def test_the_records_of_an_earlier_run_are_never_overwritten(tmp_path):
    run(out=tmp_path)
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ConfigError, match=r"already contains a run \(summary.json, guard.json, page.html, trace.npz\)"):
        run(robot, out=tmp_path)
    assert robot.calls == []


def test_a_session_of_several_robots_is_refused():
    with pytest.raises(ConfigError, match="batch 1, got one of 3"):
        run(session=FakeSession(CONTRACT, batch=3))


def test_a_full_disk_is_said_aloud_once_the_robot_stands_still_and_costs_only_what_did_not_fit(tmp_path):
    fill_the_disk_for(tmp_path / "trace.npz")
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ArtifactError, match=r"the disk is full: .*trace\.npz was not written"):
        run(robot, out=tmp_path, path=tmp_path / "state.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guard.json", "page.html", "state.npz", "summary.json"]
    assert robot.calls[-1] == "stop"


def test_a_robot_that_fails_leaves_whole_records(tmp_path):
    with pytest.raises(RobotError, match="failed in read: OSError: unplugged"):
        run(Watched(FakeClock(10**9), fails_at=20), out=tmp_path, path=tmp_path / "state.npz")
    assert Trace.load(tmp_path / "trace.npz").ticks == 20
    summary = parse(Summary, (tmp_path / "summary.json").read_text(), "summary")
    assert (summary.stopped_by, summary.ticks) == ("error", 20)
    assert (tmp_path / "state.npz").exists()


def test_a_robot_whose_words_no_file_can_hold_costs_neither_the_records_nor_what_was_learned(tmp_path):
    class Garbled(Watched):
        def write(self, action: Action) -> Action:
            if self.calls.count("read") > 9:
                raise OSError("no device \udcff")
            return super().write(action)

    with pytest.raises(RobotError, match="no device"):
        run(Garbled(FakeClock(10**9)), out=tmp_path / "run", path=tmp_path / "learned.npz")
    summary = parse(Summary, (tmp_path / "run" / "summary.json").read_text(), "summary")
    assert "no device \\udcff" in summary.detail
    assert (tmp_path / "learned.npz").exists()
    assert (tmp_path / "run" / "page.html").exists()


def test_a_defect_in_writing_one_thing_costs_only_that(tmp_path, monkeypatch):
    monkeypatch.setattr("dmh_edge.runtime.records.run_records.GUARD_NAME", "guard\0.json")
    with pytest.raises(DmhEdgeError, match="null"):
        run(out=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"page.html", "summary.json", "trace.npz"}


def test_a_pace_that_a_robot_cannot_have_is_refused_before_a_record_is_begun(tmp_path):
    robot = Watched(FakeClock(10**9))
    robot.lockstep = True
    with pytest.raises(ConfigError, match="--pace robot"):
        run(robot, out=tmp_path / "run", paced_by="robot", mcap=True)
    assert not robot.calls
    assert not (tmp_path / "run").exists()


def test_a_robot_that_fails_on_a_full_disk_tells_both(tmp_path):
    fill_the_disk_for(tmp_path / "summary.json")
    with pytest.raises(DmhEdgeError, match=r"unplugged; also, the disk is full: .*summary\.json"):
        run(Watched(FakeClock(10**9), fails_at=20), out=tmp_path)
    assert Trace.load(tmp_path / "trace.npz").ticks == 20


def test_a_record_that_cannot_be_made_of_an_event_costs_no_stop(tmp_path, monkeypatch):
    def fail(recorder: TraceRecorder, kind: str, detail: str) -> None:
        raise ValueError("no room for words")

    monkeypatch.setattr(TraceRecorder, "event", fail)
    robot = Watched(FakeClock(10**9), fails_at=20)
    with pytest.raises(DmhEdgeError, match=r"unplugged; also, the records lack events .* no room for words"):
        run(robot, out=tmp_path)
    assert robot.calls[-1] == "stop"
    assert parse(Summary, (tmp_path / "summary.json").read_text(), "summary").stopped_by == "error"


def test_a_report_that_cannot_be_made_costs_only_the_report(tmp_path, monkeypatch):
    def fail(loop: Loop) -> Summary:
        raise ValueError("nothing adds up")

    monkeypatch.setattr(Loop, "summary", fail)
    with pytest.raises(DmhEdgeError, match="unplugged; also, ValueError: nothing adds up"):
        run(Watched(FakeClock(10**9), fails_at=20), out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guard.json", "trace.npz"]


def test_a_run_that_is_refused_after_its_folder_was_made_leaves_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ArtifactError, match="cannot be written"):
        run(robot, out=tmp_path / "run", path=tmp_path / "file" / "state.npz")
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with pytest.raises(ConfigError, match="WatchdogSec"):
        run(robot, out=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert robot.calls == []


def test_a_recorder_that_cannot_be_started_leaves_no_folder(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RobotError("no process can be started")

    monkeypatch.setattr("dmh_edge.processes.start", fail)
    with pytest.raises(RobotError, match="no process can be started"):
        run(out=tmp_path / "run", mcap=True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_never_began_leaves_no_folder_though_its_memory_was_to_lie_there(tmp_path):
    class Unreachable(Watched):
        def connect(self) -> None:
            raise OSError("no route")

    with pytest.raises(RobotError, match="no route"):
        run(Unreachable(FakeClock(10**9)), out=tmp_path / "run", path=tmp_path / "run" / "memory.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate_hz", [0.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused_before_anything_moves(tmp_path, rate_hz):
    robot = Watched(FakeClock(10**9))
    with pytest.raises(ConfigError, match="expected a positive number"):
        run(robot, out=tmp_path / "run", rate_hz=rate_hz, limits=Limits(duration_s=3))
    assert robot.calls == []
    assert list(tmp_path.iterdir()) == []


class Reckless:
    """A robot that goes on for ever with what it was told last."""

    command_timeout_s = None

    def __init__(self) -> None:
        self.inside = Watched(FakeClock(10**9))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inside, name)


def test_a_robot_that_nothing_would_stop_is_refused_before_it_is_armed_unless_somebody_stands_by():
    robot = Reckless()
    with pytest.raises(RobotError, match="neither a command timeout nor a stop path"):
        run(robot)
    assert "read" not in robot.inside.calls
    assert not robot.inside.monitor._armed
    robot = Reckless()
    assert run(robot, attended=True).ticks == 60
    assert robot.inside.monitor.violations == []


def test_the_signals_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_ctrl_c_before_the_run_has_begun_ends_it_and_leaves_nothing(tmp_path, monkeypatch):
    class Slow(RunRecords):
        def start(self) -> Recorder | None:
            signal.raise_signal(signal.SIGINT)
            return super().start()

    monkeypatch.setattr("dmh_edge.runtime.operate.RunRecords", Slow)
    robot = Watched(FakeClock(10**9))
    summary = run(robot, out=tmp_path / "run", path=tmp_path / "state.npz", mcap=True)
    assert (summary.stopped_by, summary.detail, summary.ticks) == ("operator", "SIGINT", 0)
    assert "connect" not in robot.calls
    assert list(tmp_path.iterdir()) == []


class Process:
    """The program, once it says that it is ready."""

    def __init__(self, out: Path, mode: str) -> None:
        self.out = out
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(out), mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.wait_for("ready")

    def wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line == word, line + self._process.communicate()[1]

    def signal(self, number: int) -> int:
        """Send it; when."""
        now_ns = time.monotonic_ns()
        self._process.send_signal(number)
        return now_ns

    def finish(self) -> dict[str, object]:
        """What it says at its end."""
        out, err = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_wakes_the_loop_stops_the_robot_and_everything_is_written(tmp_path, number):
    process = Process(tmp_path / "run", "plain")
    sent_ns = process.signal(number)
    end = process.finish()
    assert (end["stopped_by"], end["detail"], end["violations"]) == ("operator", number.name, [])
    assert 0 < end["stopped_ns"] - sent_ns < SOON_NS
    assert Trace.load(process.out / "trace.npz").ticks == 1
    assert (process.out / "state.npz").exists()
    assert parse(Summary, (process.out / "summary.json").read_text(), "summary").stopped_by == "operator"


def test_a_second_ctrl_c_skips_neither_the_stop_nor_the_records(tmp_path):
    process = Process(tmp_path / "run", "slow-stop")
    process.signal(signal.SIGINT)
    process.wait_for("stopping")
    for _ in range(5):
        sent_ns = process.signal(signal.SIGINT)
        time.sleep(0.02)
    end = process.finish()
    assert end["stopped_by"] == "operator"
    assert end["stopped_ns"] > sent_ns
    assert Trace.load(process.out / "trace.npz").ticks == 1


def test_a_robot_whose_read_blocks_is_stopped_by_a_second_ctrl_c(tmp_path):
    process = Process(tmp_path / "run", "blocked-read")
    process.signal(signal.SIGINT)
    time.sleep(0.2)
    sent_ns = process.signal(signal.SIGTERM)
    end = process.finish()
    assert (end["stopped_by"], end["detail"]) == ("operator", "SIGINT")
    assert 0 < end["stopped_ns"] - sent_ns < SOON_NS
    assert Trace.load(process.out / "trace.npz").ticks == 0


@pytest.mark.parametrize("mode", ["blocked-reset", "blocked-self-test"])
def test_what_may_take_long_is_left_at_the_first_signal(tmp_path, mode):
    process = Process(tmp_path / "run", mode)
    sent_ns = process.signal(signal.SIGTERM)
    end = process.finish()
    assert (end["stopped_by"], end["violations"]) == ("operator", [])
    assert 0 < end["stopped_ns"] - sent_ns < SOON_NS
    for name in ("trace.npz", "summary.json", "state.npz"):  # the state of a self-test is nobody's to keep
        assert (process.out / name).exists() == (mode == "blocked-reset")


def test_a_stop_path_is_not_asked_for_before_the_robot_is_connected():
    class Late(Watched):
        @property
        def stop_path(self) -> None:
            assert "connect" in self.calls

    assert run(Late(FakeClock(10**9))).ticks == 60


def test_an_object_that_lacks_what_every_robot_has_is_refused_before_anything_is_asked_of_it():
    class Undamped(Watched):
        def __getattribute__(self, name: str) -> object:
            if name == "damp":
                raise AttributeError(name)
            return super().__getattribute__(name)

    robot = Undamped(FakeClock(10**9))
    with pytest.raises(RobotError, match="the robot is not a robot: it lacks damp; add a method `damp`"):
        run(robot)
    assert robot.calls == []
