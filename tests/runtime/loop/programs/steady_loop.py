"""A committed policy on the fake robot, which watches what the loop's thread costs once it is warm.

    steady_loop.py POLICY TICKS HORIZON CLOCK REALTIME NOISE [traced]

CLOCK is ``machine`` (500 Hz in real time) or ``fake`` (as fast as it goes). NOISE is what the robot does in each write
beside what it should: ``quiet`` nothing, ``calls`` a system call, ``keeps`` 16 bytes for good, ``maps`` a page that was
never touched. With ``traced`` memory is traced, from here on: imports take much longer under it. The warm-up, 2,600
ticks, and the rest are set apart by `os.getsid`, which nothing else calls. Prints one line of JSON: page faults of the
loop's thread per 500 ticks, and growth of traced memory.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
import tempfile
import tracemalloc
from pathlib import Path

from dmh_edge.clock import NS_PER_S, Clock, FakeClock, MonotonicClock
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.task import TaskSpec

WARM_UP = 2_600  # Python 3.10 lays out a cache per function at its 1,024th call
WINDOW = 500
RATE_HZ = 500
#: A busy machine and a policy that was never trained for this robot are not what is looked at here.
PATIENCE_S = 5.0
PATIENT = GuardSettings(budget_s=4, late_slots=1000, late_window=1000, longest_clamp_s=1e6)


class Robot(FakeRobot):
    def __init__(self, task: TaskSpec, clock: Clock, ticks: int, noise: str) -> None:
        super().__init__(task, clock=clock, command_timeout_s=PATIENCE_S)
        self._ticks, self._noise, self._written = ticks, noise, 0
        self.faults, self.traced = [0] * (ticks // WINDOW + 1), [0, 0]
        self._kept: list[bytes] = []
        self._map = mmap.mmap(-1, (ticks + WARM_UP + 2) * mmap.PAGESIZE)
        self._null = os.open(os.devnull, os.O_WRONLY)

    def write(self, action: Action) -> Action:
        watched = self._written - WARM_UP
        if watched in (0, self._ticks):
            self.traced[watched > 0] = tracemalloc.get_traced_memory()[0]
            os.getsid(0)
        # Asking is a call, and the answers take memory: one thing is watched at a time.
        counting = isinstance(self._clock, FakeClock) and not tracemalloc.is_tracing()
        if counting and watched >= 0 and watched % WINDOW == 0:
            usage = resource.getrusage(resource.RUSAGE_THREAD)
            self.faults[watched // WINDOW] = usage.ru_minflt + usage.ru_majflt
        if self._noise == "calls":
            os.write(self._null, b"!")
        elif self._noise == "keeps":
            self._kept.append(bytes(16))
        elif self._noise == "maps":
            self._map[self._written * mmap.PAGESIZE] = 1
        self._written += 1
        return super().write(action)


def main() -> None:
    folder, ticks, horizon, which, realtime, noise, *traced = sys.argv[1:]
    policy = Policy.load(Path(folder))
    patience = {"max_hold_s": PATIENCE_S, "max_observation_age_s": PATIENCE_S}
    task = policy.contract.task.model_copy(update={"rate_hz": RATE_HZ, "horizon": int(horizon), **patience})
    policy = Policy(policy.folder, policy.contract.model_copy(update={"task": task}), policy.sha256)
    clock: Clock = FakeClock(NS_PER_S) if which == "fake" else MonotonicClock()
    robot = Robot(task, clock, int(ticks), noise)
    if traced:
        tracemalloc.start()
    with tempfile.TemporaryDirectory() as records:
        run = Run(
            limits=Limits(ticks=WARM_UP + int(ticks) + 1),
            timing=Timing(realtime=realtime, clock=clock),  # type: ignore[arg-type]
            keeping=Keeping(Path(records, "run")),
            guard=PATIENT,
            noise_seed=0,
        )
        summary = operate(FakePolicy(policy.sha256), OrtSession(policy), robot, run)
    faults = [after - before for before, after in zip(robot.faults, robot.faults[1:], strict=False)]
    told = {"faults": faults, "grown": robot.traced[1] - robot.traced[0], "locked": f"{summary.realtime}"}
    sys.stdout.write(json.dumps(told) + "\n")


main()
