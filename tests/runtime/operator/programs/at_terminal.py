"""Runs the fake policy on a robot that is not simulated, at the terminal that is its standard input.

    at_terminal.py RATE_HZ DEADMAN_S

SIGUSR1 is a button of the user's own, which stops the robot from a thread. It prints what the operator is shown,
``reset`` at each reset, ``moved`` with the first action after it, then one line of JSON.
"""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import termios
import threading
import time

# Before numpy's BLAS starts threads of its own, which inherit this: the button's thread alone waits for the signal.
# ruff: noqa: E402
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

from dmh_edge.clock import MonotonicClock
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.terminal import Terminal
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Robot(FakeRobot):
    simulated = False
    moved = False
    stopped_ns = 0

    def reset(self) -> None:
        say("reset")
        self.moved = False
        super().reset()

    def write(self, action: Action) -> Action:
        applied = super().write(action)
        if not self.moved:
            self.moved = True
            say("moved")
        return applied

    def stop(self) -> None:
        super().stop()
        self.stopped_ns = self.stopped_ns or time.monotonic_ns()


def button(operator: Operator) -> None:
    signal.sigwait({signal.SIGUSR1})
    operator.stop("the red button")


def main() -> None:
    operator = Operator(MonotonicClock())
    threading.Thread(target=button, args=(operator,), daemon=True).start()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # as a shell would have done
    rate_hz, deadman_s = float(sys.argv[1]), float(sys.argv[2])
    slack = {"max_hold_s": 60 / rate_hz, "max_observation_age_s": 60 / rate_hz, "horizon": 100_000}
    task = TWO_JOINTS.model_copy(update={"rate_hz": rate_hz, **slack})
    robot = Robot(task, command_timeout_s=60 / rate_hz)
    run = Run(
        limits=Limits(duration_s=60),
        attendance=Attendance(operator, Terminal.of_stdin(say)),
        guard=GuardSettings(deadman_s=deadman_s or None, frozen_s=None, longest_clamp_s=100, late_slots=50),
    )
    summary = operate(FakePolicy(), FakeSession(fake_contract(task)), robot, run)
    say(
        json.dumps(
            {
                "stopped_by": summary.stopped_by,
                "detail": summary.detail,
                "stopped_ns": robot.stopped_ns,
                "events": [event.what for event in summary.events],
                "returns": len(summary.returns),
                "rules": [violation.rule for violation in robot.monitor.violations],
            }
        )
    )


main()
