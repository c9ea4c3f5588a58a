"""Runs the fake policy on an arm in real time until something goes wrong: a real process for real faults.

    run_mujoco.py OUT MODE RATE

MODE: ``plain``; or in the 30th reading ``blocked-read`` (never returns) or ``holds-the-gil`` (native code that sleeps
for three seconds and lets no Python run). It prints how to look into the physics, then one line of JSON at its end.
"""

from __future__ import annotations

import ctypes
import json
import pickle
import sys
import time
from pathlib import Path

from dmh_edge.robots.mujoco import MujocoRobot
from dmh_edge.robots.protocol import Reading
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract

FAULT_AT = 30
#: Steps of an episode.
HORIZON = 20


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Robot(MujocoRobot):
    def __init__(self, mode: str, rate_hz: float) -> None:
        # Neither its own command timeout nor the guard's patience is what stops it here.
        super().__init__("dark-reacher", hidden=3, command_timeout_s=30.0)
        patient = {"max_hold_s": 20.0, "max_observation_age_s": 20.0}
        self.task = self.task.model_copy(update={"rate_hz": rate_hz, "horizon": HORIZON} | patient)
        self.mode, self.readings = mode, 0

    def connect(self) -> None:
        super().connect()
        say(pickle.dumps((self._link, self._process.pid)).hex())

    def read(self) -> Reading:
        self.readings += 1
        if self.readings == FAULT_AT and self.mode == "blocked-read":
            time.sleep(600)
        if self.readings == FAULT_AT and self.mode == "holds-the-gil":
            ctypes.PyDLL(None).usleep(3_000_000)
        return super().read()


def main() -> None:
    out, mode, rate_hz = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    robot = Robot(mode, rate_hz)
    run = Run(keeping=Keeping(out), noise_seed=1)
    summary = operate(FakePolicy(), FakeSession(fake_contract(robot.task)), robot, run)
    say(json.dumps({"stopped_by": summary.stopped_by, "detail": summary.detail, "ticks": summary.ticks}))


main()
