"""Runs the fake policy on the fake robot at 200 Hz and records it, in real time, until somebody stops it.

    record_fake.py OUT WRITTEN

For every action that reaches the robot the time, eight bytes, goes to the file WRITTEN, past all buffers. At its end it
prints the error that the run ended with, if any, and then one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from dmh_edge.errors import DmhEdgeError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract

#: A busy machine and a policy that wishes for anything are not what is looked at here.
PATIENT = GuardSettings(budget_s=9, late_slots=1000, late_window=1000, longest_clamp_s=1e6)
TASK = TWO_JOINTS.model_copy(update={"rate_hz": 200.0, "target_return": 0.0, "max_hold_s": 9.0})


class Robot(FakeRobot):
    def __init__(self, written: Path) -> None:
        super().__init__(TASK, command_timeout_s=60)
        self._written = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, action: Action) -> Action:
        applied = super().write(action)
        os.write(self._written, time.monotonic_ns().to_bytes(8, "little"))
        return applied


def main() -> None:
    out, written = Path(sys.argv[1]), Path(sys.argv[2])
    error = ""
    try:
        run = Run(keeping=Keeping(out, mcap=True), guard=PATIENT, noise_seed=1)
        operate(FakePolicy("0" * 64), FakeSession(fake_contract(TASK)), Robot(written), run)
    except DmhEdgeError as failed:
        error = str(failed)
    sys.stdout.write(json.dumps({"error": error}) + "\n")


main()
