"""Runs the fake policy on the fake robot until somebody stops it: a real process for real signals.

    run_fake.py OUT MODE

MODE is how the robot behaves: ``plain``; ``blocked-read``, ``blocked-reset`` or ``blocked-self-test`` (never return);
``slow-stop`` (takes half a second). It prints ``ready`` when it may be signalled, then one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.state_file import Learned
from dmh_edge.task import TaskSpec

#: A slot every ten seconds: whoever reacts within a fraction of it was woken up.
SLOW: TaskSpec = TWO_JOINTS.model_copy(update={"rate_hz": 0.1, "max_hold_s": 50.0, "max_observation_age_s": 90.0})
FOREVER_S = 60


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def block() -> None:
    say("ready")
    time.sleep(FOREVER_S)


class Robot(FakeRobot):
    def __init__(self, mode: str) -> None:
        super().__init__(SLOW, command_timeout_s=FOREVER_S)
        self.mode = mode
        self.stopped_ns: list[int] = []

    def reset(self) -> None:
        if self.mode == "blocked-reset":
            block()
        super().reset()

    def read(self) -> Reading:
        if self.mode == "blocked-read":
            block()
        return super().read()

    def write(self, action: Action) -> Action:
        applied = super().write(action)
        say("ready")
        return applied

    def stop(self) -> None:
        if self.mode == "slow-stop" and not self.stopped_ns:
            say("stopping")
            time.sleep(0.5)
        super().stop()
        self.stopped_ns.append(time.monotonic_ns())


def main() -> None:
    out, mode = Path(sys.argv[1]), sys.argv[2]
    robot = Robot(mode)
    policy = FakePolicy(tested=block if mode == "blocked-self-test" else lambda: None)
    run = Run(learned=Learned(out / "state.npz"), keeping=Keeping(out))
    summary = operate(policy, FakeSession(fake_contract(SLOW)), robot, run)
    say(
        json.dumps(
            {
                "stopped_by": summary.stopped_by,
                "detail": summary.detail,
                "stopped_ns": robot.stopped_ns[0],
                "violations": [violation.rule for violation in robot.monitor.violations],
            }
        )
    )


main()
