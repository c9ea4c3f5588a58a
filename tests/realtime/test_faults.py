"""Faults injected into a real process that runs the real loop; the physics process tells when the arm was stopped."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmh_edge.robots.mujoco_link import Link, PhysicsEvent
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.schema import parse
from waiting import PATIENCE_S, wait_for

PROGRAM = Path(__file__).parent / "programs" / "run_mujoco.py"
MS = 1_000_000
#: A machine that runs other tests at the same time now and then holds up a loop for 3 periods of 20 ms: a slow one.
RATE_HZ = 10
#: 3 periods and 50 ms from the last sign of life, which may come a period after the last action that was written.
PROMISE_NS = 350 * MS + 100 * MS
#: A machine that runs other tests at the same time lets a process wait for its turn for so long.
BUSY_NS = 400 * MS


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


class Run:
    """The program, and a look into the physics of its arm."""

    def __init__(self, out: Path, mode: str, rate_hz: float = RATE_HZ) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(out), mode, str(rate_hz)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.link: Link
        self.link, self.physics = pickle.loads(bytes.fromhex(line))
        wait_for(lambda: self.kinds().count(PhysicsEvent.COMMAND) > 25)

    def events(self) -> list[tuple[PhysicsEvent, int, int]]:
        """Kind, time, detail."""
        read = [self.link.events.read(number) for number in range(self.link.events.count)]
        return [(PhysicsEvent(kind), at_ns, detail) for kind, at_ns, detail in read]

    def kinds(self) -> list[PhysicsEvent]:
        return [kind for kind, _, _ in self.events()]

    @property
    def watchdog(self) -> int:
        """Its process id: the child that is not the physics."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (watchdog,) = {int(child) for child in children} - {self.physics}
        return watchdog

    def silence_ns(self) -> int:
        """From the last action that was written until the brakes took hold."""
        wait_for(lambda: PhysicsEvent.STOP in self.kinds())
        events = self.events()
        ((_, braked_ns, asked_ns),) = [event for event in events if event[0] is PhysicsEvent.STOP]
        assert asked_ns <= braked_ns <= asked_ns + 2 * MS  # of the arm's own time, which does not depend on the machine
        return braked_ns - max(detail for kind, _, detail in events if kind is PhysicsEvent.COMMAND)

    def stands_still(self) -> None:
        """From the stop on nothing moved it, and it came to rest."""
        wait_for(lambda: self.kinds()[-1] is PhysicsEvent.AT_REST)
        assert self.kinds()[self.kinds().index(PhysicsEvent.STOP) :] == [PhysicsEvent.STOP, PhysicsEvent.AT_REST]
        assert PhysicsEvent.VIOLATION not in self.kinds()

    def finish(self) -> tuple[dict[str, object], str]:
        """What it says at its end, and what was said on stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        return json.loads(out.splitlines()[-1]), err


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    runs: list[Run] = []

    def start(mode: str = "plain") -> Run:
        runs.append(Run(tmp_path / "run", mode))
        return runs[-1]

    yield start
    for made in runs:
        made.process.kill()
        made.process.wait(PATIENCE_S)
        for pipe in (made.process.stdout, made.process.stderr):
            pipe.close()


def test_a_loop_that_is_frozen_has_its_robot_stopped_and_moves_it_no_more_when_it_wakes(run):
    made = run()
    made.process.send_signal(signal.SIGSTOP)
    assert made.silence_ns() < PROMISE_NS + BUSY_NS
    made.stands_still()
    made.process.send_signal(signal.SIGCONT)
    end, err = made.finish()
    assert end["stopped_by"] == "watchdog"
    assert "the loop was silent for" in end["detail"]
    assert "watchdog: the loop was silent for" in err
    made.stands_still()
    assert parse(Summary, (made.out / "summary.json").read_text(), "summary").stopped_by == "watchdog"


def test_a_loop_that_is_killed_has_its_robot_stopped_and_leaves_no_process_behind(run):
    made = run()
    watchdog = made.watchdog
    made.process.kill()
    assert made.silence_ns() < PROMISE_NS + BUSY_NS
    made.stands_still()
    wait_for(lambda: not alive(watchdog))
    wait_for(lambda: not alive(made.physics))
    assert "watchdog: the loop has ended while running; the robot was stopped" in made.process.stderr.read()


@pytest.mark.parametrize("mode", ["blocked-read", "holds-the-gil"])
def test_a_loop_that_hangs_in_its_driver_has_its_robot_stopped(run, mode):
    made = run(mode)
    assert made.silence_ns() < PROMISE_NS + BUSY_NS
    made.stands_still()
    if mode == "blocked-read":  # only a second Ctrl-C gets it out of there
        for _ in range(2):
            made.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
    end, _ = made.finish()
    assert (end["stopped_by"], end["ticks"]) == ("watchdog", 28)  # an episode ends by a reading
    made.stands_still()


def test_ctrl_c_is_for_the_loop_alone(run):
    made = run()
    watchdog = made.watchdog
    for process in (watchdog, made.physics):
        os.kill(process, signal.SIGINT)
    os.killpg(made.process.pid, signal.SIGINT)
    end, err = made.finish()
    assert (end["stopped_by"], end["detail"], err) == ("operator", "SIGINT", "")
    made.stands_still()
    wait_for(lambda: not alive(watchdog) and not alive(made.physics))


def test_a_loop_whose_physics_dies_says_so(run):
    made = run()
    os.kill(made.physics, signal.SIGKILL)
    _, err = made.process.communicate(timeout=PATIENCE_S)
    assert made.process.returncode == 1
    assert "mujoco:dark-reacher: the process of its physics has ended with -9" in err


def test_a_loop_whose_watchdog_dies_stops_the_robot_itself(run):
    made = run()
    os.kill(made.watchdog, signal.SIGKILL)
    _, err = made.process.communicate(timeout=PATIENCE_S)
    assert made.process.returncode == 1
    assert "the watchdog has not looked" in err
    made.stands_still()
