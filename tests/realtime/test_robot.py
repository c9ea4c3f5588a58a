"""The driver of an arm in real time: the contract, what comes between arm and driver, and physics that dies."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dmh_edge import tasks
from dmh_edge.errors import ConfigError, MissingExtraError, RobotError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.find import find_robot
from dmh_edge.robots.mujoco import MujocoRobot
from dmh_edge.robots.mujoco_link import STEP_NS, PhysicsWord
from dmh_edge.robots.protocol import Reading
from waiting import PATIENCE_S, wait_for

MS = 1_000_000
PUSH = np.array([1.0, -1.0], np.float32)
SPEC = tasks.find("dark-reacher").spec


@pytest.fixture
def ready(request: pytest.FixtureRequest) -> Iterator[MujocoRobot]:
    """An arm at the start of an episode; options by indirect parameters. Silence does not stop it."""
    robot = MujocoRobot("dark-reacher", **{"hidden": 3, "command_timeout_s": 60.0} | getattr(request, "param", {}))
    robot.connect()
    try:
        robot.arm()
        robot.reset()
        yield robot
    finally:
        robot.close()


def watch(robot: MujocoRobot, seconds: float) -> list[tuple[int, Reading]]:
    """Readings every 5 ms, and when each was there."""
    seen = []
    until_ns = time.monotonic_ns() + round(seconds * 1e9)
    while not seen or seen[-1][0] < until_ns:
        reading = robot.read()
        seen.append((time.monotonic_ns(), reading))
        time.sleep(0.005)
    return seen


@pytest.mark.parametrize("name", ["mujoco:dark-reacher", "mujoco:dark-payload", "mujoco:dark-camera"])
def test_it_keeps_the_contract(name):
    check_robot(lambda: find_robot(name, task=SPEC, options={"command_timeout_s": 60}))


def test_it_keeps_the_contract_with_everything_that_comes_between():
    between = {"noise": 1e-5, "latency_s": 0.01, "jitter_s": 0.01, "dropout": 0.2, "actuator_delay_s": 0.01}
    check_robot(lambda: MujocoRobot("dark-reacher", command_timeout_s=60, **between))


def test_it_has_the_task_and_the_hidden_target_of_the_lockstep_robot(ready):
    assert find_robot("gym:dark-reacher", task=SPEC).task == ready.task == SPEC
    ready.write(PUSH)
    reading = ready.read()
    distance = np.linalg.norm(reading.observation[6:8] - tasks.dark_reacher.TARGETS[3])
    assert reading.reward == pytest.approx(-distance, abs=1e-6)


def test_it_moves_while_nobody_looks(ready):
    ready.write(PUSH)
    wait_for(lambda: ready.read().observation[4] > 5)


@pytest.mark.parametrize("ready", [{"command_timeout_s": 0.1}], indirect=True)
def test_silence_brakes_it(ready):
    ready.write(PUSH)
    wait_for(lambda: not ready._link.words[PhysicsWord.AT_REST])
    wait_for(lambda: ready._link.words[PhysicsWord.AT_REST])
    assert not ready.read().observation[4:6].any()


@pytest.mark.parametrize("ready", [{"latency_s": 0.1}], indirect=True)
def test_latency_makes_what_is_seen_older_and_true_all_the_same(ready):
    for now_ns, reading in watch(ready, 0.3):
        assert reading.stamp_ns <= now_ns - 100 * MS
        sample = ready._link.samples.read((reading.stamp_ns - ready._link.words[PhysicsWord.STARTED]) // STEP_NS)
        assert sample[0] == reading.stamp_ns
        assert np.array(sample[3:], np.float32).tolist() == reading.observation.tolist()


@pytest.mark.parametrize("ready", [{"latency_s": 0.02, "jitter_s": 0.2}], indirect=True)
def test_jitter_makes_some_older_and_time_never_goes_backwards(ready):
    seen = watch(ready, 1.0)
    stamps = [reading.stamp_ns for _, reading in seen]
    assert stamps == sorted(stamps)
    ages = [now_ns - reading.stamp_ns for now_ns, reading in seen]
    assert max(ages) - min(ages) > 20 * MS


@pytest.mark.parametrize("ready", [{"dropout": 0.5}], indirect=True)
def test_what_drops_out_comes_again_under_its_old_stamp(ready):
    ready.write(PUSH)
    seen = [reading for _, reading in watch(ready, 0.5)]
    repeated = [np.array_equal(one.observation, two.observation) for one, two in itertools.pairwise(seen)]
    assert repeated == [one.stamp_ns == two.stamp_ns for one, two in itertools.pairwise(seen)]
    assert 0.2 < np.mean(repeated) < 0.8


@pytest.mark.parametrize("ready", [{"noise": 0.01}], indirect=True)
def test_noise_is_a_share_of_each_elements_range_and_leaves_it_not(ready):
    seen = np.array([reading.observation for _, reading in watch(ready, 0.5)])
    low, high = (np.array([getattr(element, side) for element in SPEC.observation]) for side in ("low", "high"))
    assert (seen >= low.astype(np.float32)).all()
    assert (seen <= high.astype(np.float32)).all()
    inside = [3, 4, 5, 7]  # the others lie at the edge of their range
    assert (seen.std(axis=0) / (high - low))[inside] == pytest.approx(np.full(4, 0.01), rel=0.5)


def test_the_stop_path_stops_it_and_a_person_may_arm_it_again(ready):
    ready.write(PUSH)
    wait_for(lambda: ready.read().observation[4] > 1)
    stop = pickle.loads(pickle.dumps(ready.stop_path))
    for _ in range(2):
        stop()
        assert not ready.read().observation[4:6].any()
        for call in (lambda: ready.write(PUSH), ready.reset):
            with pytest.raises(RobotError, match="stopped from another process; arm it again"):
                call()
    wait_for(lambda: [rule for rule, _ in ready.violations] == ["after stop"] * 2)
    ready.arm()
    ready.reset()
    ready.write(PUSH)
    wait_for(lambda: ready.read().observation[4] > 1)


def test_a_stop_path_is_there_while_it_is_connected():
    robot = MujocoRobot("dark-reacher")
    assert robot.stop_path is None
    robot.connect()
    assert robot.stop_path is not None
    robot.close()
    assert robot.stop_path is None


def test_an_action_that_is_not_finite_never_arrives(ready):
    with pytest.raises(RobotError, match="not finite"):
        ready.write(np.array([np.nan, 0], np.float32))
    with pytest.raises(RobotError, match="expected an array of 2"):
        ready.write(np.zeros(3, np.float32))
    ready.write(PUSH)
    wait_for(lambda: ready.read().observation[4] > 1)
    assert [rule for rule, _ in ready.violations] == ["not finite"]


def test_an_action_beyond_the_bounds_is_told_as_it_was_applied(ready):
    assert ready.write(np.array([3, -0.5], np.float32)).tolist() == [1, -0.5]


@pytest.mark.parametrize("call", ["read", "write", "reset", "arm"])
def test_physics_that_dies_is_noticed_and_stopping_is_still_safe(ready, call):
    os.kill(ready._process.pid, signal.SIGKILL)
    ready._process.wait(PATIENCE_S)
    time.sleep(0.15)
    with pytest.raises(RobotError, match="ended with -9; connect again"):
        ready.write(PUSH) if call == "write" else getattr(ready, call)()
    ready.stop()
    ready.connect()
    ready.arm()
    ready.reset()
    ready.read()


def test_physics_that_is_frozen_shows_old_stamps_then_nothing(ready):
    os.kill(ready._process.pid, signal.SIGSTOP)
    try:
        time.sleep(0.3)
        before_ns = time.monotonic_ns()
        assert ready.read().stamp_ns < before_ns - 200 * MS
        time.sleep(2)
        with pytest.raises(RobotError, match=r"has not stepped for 2\.\d s"):
            ready.read()
        begin_s = time.monotonic()
        ready.stop()  # frozen, it does not move: nobody waits for it
        assert time.monotonic() - begin_s < 5
    finally:
        os.kill(ready._process.pid, signal.SIGCONT)


def test_a_reset_that_does_not_happen_is_not_waited_for_for_ever(ready, monkeypatch):
    monkeypatch.setattr("dmh_edge.robots.mujoco._RESET_S", 0.3)
    os.kill(ready._process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RobotError, match=r"did not reset within 0\.3 s"):
            ready.reset()
    finally:
        os.kill(ready._process.pid, signal.SIGCONT)


def test_closing_leaves_nothing_behind():
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before, shared = held(), sorted(Path("/dev/shm").iterdir())
    robot = MujocoRobot("dark-reacher")
    for _ in range(2):
        robot.connect()
        pid = robot._process.pid
        robot.close()
        assert not Path(f"/proc/{pid}").exists()
    del robot
    assert held() == before
    assert sorted(Path("/dev/shm").iterdir()) == shared


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mujoco:dark-reachr", {}, "unknown robot .*did you mean 'mujoco:dark-reacher'"),
        ("mujoco:darkroom", {}, "known: mujoco:dark-camera, mujoco:dark-payload, mujoco:dark-reacher"),
        ("mujoco:dark-reacher", {"latency": 1}, "unknown option 'latency' .did you mean 'latency_s'"),
        ("mujoco:dark-reacher", {"latency_s": 2}, r"got latency_s = 2, expected a number from 0 to 0\.9"),
        ("mujoco:dark-reacher", {"jitter_s": -0.1}, "got jitter_s = -0.1"),
        ("mujoco:dark-reacher", {"dropout": "often"}, "got dropout = 'often'"),
        ("mujoco:dark-reacher", {"noise": True}, "got noise = True"),
        ("mujoco:dark-reacher", {"command_timeout_s": 0}, "got command_timeout_s = 0, expected a number above 0"),
        ("mujoco:dark-reacher", {"hidden": -1}, "got hidden = -1, expected 0 to 2"),
        ("mujoco:dark-reacher", {"hidden": 1.5}, "got hidden = 1.5"),
    ],
)
def test_a_robot_or_an_option_that_is_none_is_refused_before_anything_is_started(name, options, message):
    with pytest.raises(ConfigError, match=message):
        find_robot(name, task=SPEC, options=options)


def test_without_mujoco_the_extra_is_named(monkeypatch):
    find_spec = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mujoco" else find_spec(name))
    with pytest.raises(MissingExtraError, match=r'mujoco:dark-reacher needs mujoco.*pip install "\.\[mujoco\]"'):
        find_robot("mujoco:dark-reacher", task=SPEC)
