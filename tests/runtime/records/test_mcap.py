"""A run as an MCAP file: what is in it, who can read it, and what becomes of it when things die."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader

from dmh_edge.clock import NS_PER_S, FakeClock
from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.guard_settings import GUARD_NAME
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.mcap_read import McapFile
from dmh_edge.runtime.records.mcap_schema import Codec
from dmh_edge.runtime.records.record import Record
from dmh_edge.runtime.records.run_records import PAGE_NAME, RECORD_NAME, Keeping
from dmh_edge.runtime.report.events import Moment
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import replay
from dmh_edge.schema import parse
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "record_fake.py"


class Remembering(FakeRobot):
    """Knows what was applied, and every reading."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.applied: list[Action] = []

    def write(self, action: Action) -> Action:
        self.applied.append(super().write(action))
        return self.applied[-1]


def record(policy: Policy, session: Any, out: Path, ticks: int = 300, **about: str) -> tuple[Summary, Remembering]:
    """A run on a fake clock: as fast as it goes, and no more of it than the ring holds."""
    clock = FakeClock(NS_PER_S)
    robot = Remembering(policy.contract.task, clock=clock)
    run = Run(
        limits=Limits(ticks=ticks),
        timing=Timing(clock=clock),
        keeping=Keeping(out, mcap=True, about=about),
        noise_seed=3,
    )
    return operate(FakePolicy(policy.sha256), session, robot, run), robot


def test_what_else_is_known_of_a_run_is_in_the_file_and_replaces_nothing(policy, open_session, tmp_path):
    record(policy, open_session(1), tmp_path, ticks=5, robot="mine", policy_sha256="another")
    metadata = McapFile.load(tmp_path / RECORD_NAME).metadata
    assert (metadata["robot"], metadata["policy_sha256"]) == ("mine", policy.sha256)


def test_the_file_tells_the_life_of_the_robot_as_the_report_does(policy, open_session, tmp_path):
    summary, _ = record(policy, open_session(1), tmp_path, ticks=5)
    moments = [detail for kind, detail in McapFile.load(tmp_path / RECORD_NAME).events if kind == "moment"]
    assert moments == [
        "self-tested",
        "connected",
        "armed",
        "stop asked of the robot",
        "stop confirmed by the robot",
    ]
    assert moments == [event.what for event in summary.events if event.what in set(Moment)]


def test_a_run_replays_exactly_and_leaves_a_page(policy, open_session, tmp_path):
    summary, robot = record(policy, open_session(1), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [GUARD_NAME, PAGE_NAME, RECORD_NAME, SUMMARY_NAME]
    run = McapFile.load(tmp_path / RECORD_NAME)
    assert (run.is_finished, run.contract, run.metadata["policy_sha256"]) == (True, policy.contract, policy.sha256)
    ((first, trace),) = run.stretches()
    assert (first, trace.ticks, summary.unrecorded_ticks) == (0, 300, 0)
    assert np.array_equal(trace.timing["applied_action"][:, 0], robot.applied[-300:])
    assert np.array_equal(trace.timing["applied_action"][:-1], trace.world["previous_action"][1:])
    assert set(trace.final_state) == set(trace.initial_state) == set(open_session(1).state())
    (comparison,) = Record.load(tmp_path / RECORD_NAME).replay(open_session(1))
    assert (comparison.require().ticks, comparison.figure().worst_error) == (300, 0)
    assert run.events[-1] == ("stop", "ticks: the limit was reached")


def test_a_viewer_that_knows_nothing_of_us_reads_every_message_by_its_embedded_descriptors(
    policy, open_session, tmp_path
):
    _, robot = record(policy, open_session(1), tmp_path, ticks=120)
    seen: dict[str, list[Any]] = {}
    with (tmp_path / RECORD_NAME).open("rb") as stream:
        reader = make_reader(stream)
        classes: dict[int, Any] = {}
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            if schema.id not in classes:
                pool = descriptor_pool.DescriptorPool()
                for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
                    pool.Add(file)
                classes[schema.id] = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))
            decoded = classes[schema.id].FromString(message.data)
            seen.setdefault(channel.topic, []).append(decoded)
        (contract,) = reader.iter_attachments()
    assert PolicyContract.model_validate_json(contract.data) == policy.contract
    assert {topic: len(messages) for topic, messages in seen.items() if topic in ("/tick", "/state")} == {
        "/tick": 120,
        "/state": 2,
    }
    tick = seen["/tick"][7]
    observed = [element.name for element in policy.contract.task.observation]
    assert [field.name for field, _ in tick.observation.ListFields()] == [
        name for name in observed if getattr(tick.observation, name) != 0
    ]
    assert len(tick.noise) == policy.contract.model.tensor("noise").shape[1]
    assert len(tick.subgoal) == policy.contract.model.tensor("subgoal").shape[1]
    assert tick.timing.total_ns >= 0
    if policy.contract.task.action.kind == "continuous":
        names = [element.name for element in policy.contract.task.action.elements]
        applied = [getattr(tick.action_applied, name) for name in names]
        wished = [getattr(tick.action_wished, name) for name in names]
        assert np.all(np.isfinite(wished))
    else:
        applied = tick.action_applied
        assert len(tick.logits) == policy.contract.task.action.size
    assert np.array_equal(np.array(applied, np.float32), np.asarray(robot.applied[-120:][7], np.float32))
    assert {line.name for line in seen["/event"]} <= {"fault", "moment", "overrun", "episode", "stop"}
    stop = seen["/event"][-1]
    assert (stop.message, stop.level) == ("ticks: the limit was reached", 2)
    assert abs(stop.timestamp.seconds - time.time()) < 600


def test_odd_names_of_elements_become_names_that_protobuf_allows(policy):
    task = policy.contract.task
    odd = ("joint 1", "joint-1", "1st", "Kraft_\N{GREEK SMALL LETTER ALPHA}", *("x",) * len(task.observation))
    observation = tuple(
        element.model_copy(update={"name": name}) for element, name in zip(task.observation, odd, strict=False)
    )
    contract = policy.contract.model_copy(update={"task": task.model_copy(update={"observation": observation})})
    file = descriptor_pb2.FileDescriptorSet.FromString(Codec(contract).schema("/tick")).file[0]
    (tick,) = (message for message in file.message_type if message.name == "Tick")
    (kind,) = (message for message in tick.nested_type if message.name == "Observation")
    names = [field.name for field in kind.field]
    assert len(set(names)) == len(observation)
    assert names[: len(observation)][:2] == ["joint_1", "joint_1_2"]


def cut(source: Path, target: Path, size: int) -> Path:
    target.write_bytes(source.read_bytes()[:size])
    return target


def test_a_file_that_ends_anywhere_is_read_as_far_as_it_goes(policy, open_session, tmp_path):
    record(policy, open_session(1), tmp_path, ticks=200)
    whole, session = tmp_path / RECORD_NAME, open_session(1)
    size, places = whole.stat().st_size, random.Random(0)
    data, lengths = whole.read_bytes(), []
    begins = data.index(policy.contract.name.encode())
    with pytest.raises(ArtifactError, match=r"contains no model\.json"):  # it ends before the contract does
        McapFile.load(cut(whole, tmp_path / "cut.mcap", begins))
    begins = data.index(b"started_ns") + 1000  # and there after the metadata
    for length in sorted(places.randrange(begins, size) for _ in range(60)):
        run = McapFile.load(cut(whole, tmp_path / "cut.mcap", length))
        assert sorted(run.ticks) == list(range(len(run.ticks)))
        lengths.append(len(run.ticks))
        for _, trace in run.stretches():
            assert replay(trace, session).require().worst_error == 0
    assert lengths == sorted(lengths)
    assert any(0 < length < 200 for length in lengths)
    assert not run.is_finished


def test_a_file_with_bytes_that_are_not_what_was_written_never_gives_wrong_ticks(policy, open_session, tmp_path):
    record(policy, open_session(1), tmp_path, ticks=200)
    data, places = (tmp_path / RECORD_NAME).read_bytes(), random.Random(1)
    right = McapFile.load(tmp_path / RECORD_NAME).ticks
    spoilt = tmp_path / "spoilt.mcap"
    damaged = 0
    for _ in range(60):
        place = places.randrange(8, len(data))
        spoilt.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            run = McapFile.load(spoilt)
        except ArtifactError:
            damaged += 1
            continue
        damaged += len(run.ticks) < len(right)
        for number, columns in run.ticks.items():
            assert all(np.array_equal(columns[name], right[number][name], equal_nan=True) for name in columns)
    assert damaged > 10


def test_a_gap_ends_a_stretch_and_the_next_state_begins_another(policy, open_session, tmp_path):
    record(policy, open_session(1), tmp_path, ticks=1200)
    run = McapFile.load(tmp_path / RECORD_NAME)
    _, later, *_ = sorted(run.states)
    for number in range(later - 7, later - 4):
        del run.ticks[number]
    (first, one), (second, other) = run.stretches()
    assert (first, one.ticks, second) == (0, later - 7, later)
    assert one.ticks + other.ticks == 1200 - 3 - 4  # those before the next state cannot be replayed
    assert not one.final_state
    session = open_session(1)
    assert [replay(trace, session).require().worst_error for trace in (one, other)] == [0, 0]


def test_the_record_of_another_policy_is_refused_and_a_wrong_number_is_found(policy, open_session, tmp_path):
    record(policy, open_session(1), tmp_path, ticks=50)
    recording = Record.load(tmp_path / RECORD_NAME)
    session = open_session(1)
    ((_, trace),) = recording.stretches
    trace.outputs["logits" if "logits" in trace.outputs else "action"][20] += 0.1
    (comparison,) = recording.replay(session)
    assert comparison.first_failure.startswith("tick 20, tensor")
    provenance = policy.contract.provenance.model_copy(update={"weights_sha256": "f" * 64})
    session.contract = policy.contract.model_copy(update={"provenance": provenance})
    with pytest.raises(ContractError, match="other weights"):
        recording.replay(session)


def test_what_is_no_record_is_said(tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"not at all")
    with pytest.raises(ArtifactError, match=r"is not a record of a run"):
        Record.load(tmp_path / "a.mcap")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Record.load(tmp_path / "missing.mcap")


class Recording200Hz:
    """The program, once its robot moves."""

    def __init__(self, out: Path, written: Path) -> None:
        self.out, self._written = out, written
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(out), str(self._written)], stdout=subprocess.PIPE, text=True
        )
        self.wait_until(lambda: len(self.times_ns()) > 0)
        (self.recorder,) = children(self.process.pid)

    def wait_until(self, happened: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    def times_ns(self) -> list[int]:
        """When each action reached the robot."""
        data = self._written.read_bytes() if self._written.exists() else b""
        return np.frombuffer(data[: len(data) // 8 * 8], "<i8").tolist()

    def finish(self) -> dict[str, str]:
        """Ctrl-C, and what it says at its end."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return dict(json.loads(out.splitlines()[-1]))

    def summary(self) -> Summary:
        return parse(Summary, (self.out / SUMMARY_NAME).read_text(), SUMMARY_NAME)

    @property
    def file(self) -> Path:
        return self.out / RECORD_NAME


def children(parent: int) -> list[int]:
    """Process ids of its children."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(number) for path in tasks for number in path.read_text().split()]


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[str], Recording200Hz]]:
    started: list[Recording200Hz] = []

    def start(name: str = "run") -> Recording200Hz:
        started.append(Recording200Hz(tmp_path / name, tmp_path / f"{Path(name).name}.written"))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def assert_it_replays(run: McapFile) -> None:
    (stretch,) = run.stretches()
    assert stretch[1].ticks == len(run.ticks)
    assert replay(stretch[1], FakeSession(run.contract)).require().worst_error == 0


def test_killed_with_its_recorder_at_any_moment_a_run_loses_less_than_its_last_second(running):
    moments = random.Random(2)
    for number in range(5):
        one = running(f"run{number}")
        time.sleep(moments.uniform(0.3, 2.0))
        os.kill(one.process.pid, signal.SIGSTOP)  # both die at the same moment
        os.kill(one.recorder, signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.communicate()
        times_ns = one.times_ns()
        run = McapFile.load(one.file)
        assert not run.is_finished
        lost_ns = times_ns[len(run.ticks) :]
        assert all(killed_ns - written_ns < NS_PER_S for written_ns in lost_ns[:-1])
        if run.ticks:
            assert_it_replays(run)


def test_a_run_that_is_killed_alone_is_recorded_to_its_last_tick(running):
    one = running()
    one.wait_until(lambda: len(one.times_ns()) > 50)
    one.process.kill()
    one.process.communicate()
    deadline_s = time.monotonic() + PATIENCE_S
    while not has_ended(one.recorder) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    run = McapFile.load(one.file)
    assert run.is_finished
    assert len(one.times_ns()) - len(run.ticks) in (0, 1)  # the last action may have been killed before its commit
    assert_it_replays(run)


def test_a_recorder_that_dies_costs_records_and_no_tick(running):
    one = running()
    one.wait_until(lambda: len(one.times_ns()) > 100)
    os.kill(one.recorder, signal.SIGKILL)
    died_at = len(one.times_ns())
    one.wait_until(lambda: len(one.times_ns()) > died_at + 300)
    assert "the recorder died before the run was over (SIGKILL)" in one.finish()["error"]
    summary = one.summary()
    assert (summary.stopped_by, summary.ticks) == ("operator", len(one.times_ns()))
    run = McapFile.load(one.file)
    assert 300 < summary.unrecorded_ticks <= summary.ticks - len(run.ticks) + 60
    assert_it_replays(run)
    assert "no records of the run" in (one.out / PAGE_NAME).read_text()


def test_a_recorder_that_stands_still_loses_records_that_are_counted_and_no_tick(running):
    """Its ring holds eight seconds: it sleeps for longer, and then goes on with what is still there."""
    one = running()
    os.kill(one.recorder, signal.SIGSTOP)
    one.wait_until(lambda: len(one.times_ns()) > 1900)
    os.kill(one.recorder, signal.SIGCONT)
    last = len(one.times_ns())
    one.wait_until(lambda: len(one.times_ns()) > last + 1100)  # long enough for a state to start a stretch with
    assert one.finish()["error"] == ""
    summary = one.summary()
    run = McapFile.load(one.file)
    assert summary.unrecorded_ticks == summary.ticks - len(run.ticks) > 100
    first, second = run.stretches() if 0 in run.ticks else (None, run.stretches()[0])
    assert second[1].ticks > 100
    assert replay(second[1], FakeSession(run.contract)).require().worst_error == 0
    assert first is None or first[0] == 0


#: Room for the records of some seconds and the page of a run in which much happened, in bytes.
_DISK = 320 * 1024


@dataclass
class SmallDisk:
    """A disk of its own with room for little, for root; for others a limit on the recorder, by the kernel as well."""

    folder: Path
    is_mounted: bool

    def fill(self, one: Recording200Hz) -> None:
        """Leave room for 32 kB, or a second or two."""
        if self.is_mounted:
            (self.folder / "filler").write_bytes(bytes(_DISK - 32 * 1024))
        else:
            resource.prlimit(one.recorder, resource.RLIMIT_FSIZE, (32 * 1024, resource.RLIM_INFINITY))

    def free(self, one: Recording200Hz) -> None:
        """Make room again."""
        if self.is_mounted:
            (self.folder / "filler").unlink()
        else:
            resource.prlimit(one.recorder, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield SmallDisk(folder, mounted)
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_stays_full_costs_records_that_are_counted_and_no_tick(small_disk, running):
    one = running(small_disk.folder / "run")
    small_disk.fill(one)
    one.wait_until(lambda: len(one.times_ns()) > 600)  # more than the rest of the disk holds
    error = one.finish()["error"]
    run = McapFile.load(one.file)
    assert f": {one.file} contains {len(run.ticks)} ticks, and ends there" in error
    assert ("the disk is full" in error) == small_disk.is_mounted
    assert 0 < len(run.ticks) < 600 < len(one.times_ns())
    assert not run.is_finished
    assert_it_replays(run)


def test_what_stops_the_loop_does_not_stop_its_recorder(running):
    one = running()
    assert os.getpgid(one.recorder) != os.getpgid(one.process.pid)
    os.kill(one.recorder, signal.SIGTERM)  # as a service that is stopped does
    one.wait_until(lambda: len(one.times_ns()) > 100)
    assert one.finish()["error"] == ""
    assert one.summary().unrecorded_ticks == 0
    assert len(McapFile.load(one.file).ticks) == one.summary().ticks


def test_a_disk_that_is_full_for_a_while_costs_nothing(small_disk, running):
    one = running(small_disk.folder / "run")
    small_disk.fill(one)
    one.wait_until(lambda: len(one.times_ns()) > 600)  # more than the rest of the disk holds
    small_disk.free(one)
    assert one.finish()["error"] == ""
    assert one.summary().unrecorded_ticks == 0
    run = McapFile.load(one.file)
    assert (run.is_finished, len(run.ticks)) == (True, one.summary().ticks)
    assert_it_replays(run)
