"""Injecting faults into the real loop: one run on a simulated robot, judged by the monitor that stands in the robot.

Every row of the table in `runtime.guard.faults` that the loop can meet is here, for each control mode. What blocks the
loop itself - a frozen process, native code that never returns - is for a watchdog outside of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from dmh_edge.clock import NS_PER_S, Clock, FakeClock, MonotonicClock
from dmh_edge.errors import DmhEdgeError
from dmh_edge.faults.faulty_robot import ROBOT_FAULTS, FaultyRobot
from dmh_edge.faults.faulty_session import POLICY_FAULTS, FaultySession
from dmh_edge.robots.fake import TWO_JOINTS, FakeRobot
from dmh_edge.robots.monitor import Violation
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.sessions.fake import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import parse
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, TaskSpec

#: What an operator does, by name.
OPERATOR_FAULTS = MappingProxyType(
    {
        "sigint": "Ctrl-C",
        "sigterm": "SIGTERM",
        "operator-stop": "a stop button of the user's own",
        "operator-absent": "nobody confirms any more",
    }
)
#: What the guard is to count; what is missing here is no fault of robot or policy, but an operator's wish.
SEEN_AS: Final = MappingProxyType(
    {
        "observation-nan": Fault.OBSERVATION_NOT_FINITE,
        "observation-inf": Fault.OBSERVATION_NOT_FINITE,
        "observation-shape": Fault.OBSERVATION_SHAPE,
        "observation-bounds": Fault.OBSERVATION_OUT_OF_BOUNDS,
        "stale": Fault.OBSERVATION_STALE,
        "future": Fault.OBSERVATION_STALE,
        "stamp-back": Fault.CLOCK_STEPPED_BACK,
        "frozen": Fault.OBSERVATION_FROZEN,
        "stuck": Fault.TRACKING,
        "reward-nan": Fault.REWARD_NOT_FINITE,
        "reward-missing": Fault.REWARD_MISSING,
        "reward-bounds": Fault.REWARD_OUT_OF_BOUNDS,
        "read-late": Fault.LATE,
        "write-late": Fault.LATE,
        "compute-late": Fault.LATE,
        "read-raises": Fault.ROBOT_FAILED,
        "write-raises": Fault.ROBOT_FAILED,
        "applied-nan": Fault.ROBOT_FAILED,
        "disconnects": Fault.STOP_FAILED,
        "engine-raises": Fault.POLICY_FAILED,
        "action-nan": Fault.ACTION_NOT_FINITE,
        "action-inf": Fault.ACTION_NOT_FINITE,
        "action-exploded": Fault.ACTION_EXPLODED,
        "action-bounds": Fault.ACTION_OUT_OF_BOUNDS,
        "action-leaps": Fault.ACTION_TOO_FAST,
        "state-nan": Fault.STATE_NOT_FINITE,
        "reset-blocks": Fault.RESET_TIMEOUT,
        "operator-absent": Fault.OPERATOR_ABSENT,
    }
)
#: Faults that end a run at once, however short they are.
FATAL: Final = frozenset(
    {"read-raises", "write-raises", "applied-nan", "disconnects", "engine-raises", "reset-blocks", *OPERATOR_FAULTS}
)
#: Every fault that can be injected.
FAULTS: Final = tuple(name for name in (*ROBOT_FAULTS, *POLICY_FAULTS, *OPERATOR_FAULTS) if name != "call")
#: Actions that fail in their own way.
MODES: Final = ("velocity", "velocity, delayed", "position", "position, delayed", "delta", "effort", "discrete")

_SETTINGS = GuardSettings(longest_clamp_s=1.0, reset_timeout_s=0.2)


@dataclass(frozen=True)
class Outcome:
    """What became of one injected fault.

    Attributes:
        summary: the report of the run.
        violations: what the robot's monitor made of it.
        injected: whether the fault showed at all.
        to_stop_s: from the fault to the robot's ``stop``; None where the run went on to its end.
    """

    summary: Summary
    violations: tuple[Violation, ...]
    injected: bool
    to_stop_s: float | None

    @property
    def stopped(self) -> bool:
        """Whether the fault ended the run."""
        return self.summary.stopped_by in ("guard", "operator", "error")


def faults_of(mode: str) -> tuple[str, ...]:
    """Which faults can show in a control mode."""
    hidden = (
        {"action-nan", "action-inf", "action-exploded", "action-leaps", "applied-nan"} if mode == "discrete" else set()
    )
    return tuple(name for name in FAULTS if name not in hidden and (name != "stuck" or mode.startswith("position")))


def task_of(mode: str, horizon: int) -> TaskSpec:
    """Two simulated joints that are moved in a mode, with slew limits where there can be any."""
    action = TWO_JOINTS.action
    assert isinstance(action, ContinuousAction)
    change: dict[str, object] = {"horizon": horizon}
    if mode.endswith("delayed"):
        change["action_delay"] = 1
    if mode.startswith("position"):
        angles = tuple(
            Element(name=f"{joint}_target", low=-2, high=2, unit="rad", slew_per_s=2.0)
            for joint in ("shoulder", "elbow")
        )
        measured = tuple(element.name for element in TWO_JOINTS.observation)
        change["action"] = ContinuousAction(elements=angles, mode="position", safe=(0.5, 0.5), measured_as=measured)
    elif mode == "delta":
        change["action"] = action.model_copy(update={"mode": "position", "reference": "delta"})
    elif mode == "effort":
        change["action"] = action.model_copy(update={"mode": "effort"})
    elif mode == "discrete":
        change["action"] = DiscreteAction(names=("one up", "one down", "two up", "two down"), safe=1)
    return TWO_JOINTS.model_copy(update=change)


def inject(
    fault: str,
    mode: str = "velocity",
    *,
    at: int = 7,
    lasts: int | None = None,
    every: int = 1,
    ticks: int = 150,
    horizon: int = 60,
    seed: int = 0,
    clock: Clock | None = None,
) -> Outcome:
    """Run the loop with a fault.

    Args:
        fault: one of `FAULTS`.
        mode: one of `MODES`.
        at: number of the reading or step, from 0, at which it begins.
        lasts: readings or steps for which it lasts; None for ever.
        every: it shows in every so many of them.
        ticks: steps of the policy after which the run ends well.
        horizon: steps of an episode.
        seed: of the noise that explores.
        clock: a fake one to run without waiting; None for the machine's.

    Raises:
        ConfigError: the fault cannot show in this mode.
    """
    clock = MonotonicClock() if clock is None else clock
    if fault == "reset-blocks":
        horizon, lasts = at + 1, None  # it shows at the first reset after that reading
    task = task_of(mode, horizon)
    pause: Callable[[float], None] = time.sleep
    if isinstance(clock, FakeClock):
        fake = clock

        def pause(seconds: float) -> None:
            fake.advance_ns(round(seconds * NS_PER_S))

    operator, settings = Operator(clock), _SETTINGS
    killer = _Killer(seed, task.rate_hz) if isinstance(clock, MonotonicClock) else None
    calls: dict[str, Callable[[], None]] = {
        "sigint": lambda: _signal(signal.SIGINT, killer),
        "sigterm": lambda: _signal(signal.SIGTERM, killer),
        "operator-stop": lambda: operator.stop("the red button"),
    }
    if killer and fault in ("sigint", "sigterm"):
        lasts, ticks = 1, 10_000  # nothing else may end the run before the signal does
    inside = FakeRobot(task, clock=clock)
    if fault == "operator-absent":  # one confirmation per reading, until the fault begins
        robot = FaultyRobot(inside, "call", lasts=at + 1, clock=clock, call=operator.confirm)
        settings = settings.model_copy(update={"deadman_s": 2.5 / task.rate_hz})
    elif fault in ROBOT_FAULTS:
        robot = FaultyRobot(inside, fault, at=at, lasts=lasts, every=every, clock=clock, pause=pause)
    else:
        at_reading = at if fault in calls else 0
        robot = FaultyRobot(
            inside, "call", at=at_reading, lasts=lasts, clock=clock, call=calls.get(fault, lambda: None)
        )
    session: Session = FakeSession(fake_contract(task))
    spoilt: FaultySession | None = None
    if fault in POLICY_FAULTS:
        session = spoilt = FaultySession(session, fault, at=at, lasts=lasts, every=every, clock=clock, pause=pause)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = Run(
                limits=Limits(ticks=ticks),
                timing=Timing(clock=clock),
                keeping=Keeping(Path(folder)),
                attendance=Attendance(operator),
                guard=settings,
                # A position target that trembles is clamped all the time.
                noise_seed=None if mode.startswith("position") else seed,
            )
            operate(FakePolicy(), session, robot, run)
        except DmhEdgeError:
            pass  # the summary tells
        summary = parse(Summary, (Path(folder) / SUMMARY_NAME).read_text(encoding="utf-8"), SUMMARY_NAME)
    injected_ns = robot.injected_ns if spoilt is None else spoilt.injected_ns
    if fault == "operator-absent":
        injected_ns = operator.confirmed_ns
    elif killer and (sent_ns := killer.sent_ns):
        injected_ns = sent_ns
    outcome = Outcome(summary, tuple(inside.monitor.violations), injected_ns is not None, None)
    if not outcome.stopped or injected_ns is None or robot.stopped_ns is None:
        return outcome
    return Outcome(summary, outcome.violations, True, (robot.stopped_ns - injected_ns) / NS_PER_S)


class _Killer:
    """Sends this process a signal from another one, at a moment that has nothing to do with the loop's slots."""

    _PROGRAM = (
        "import os, sys, time\n"
        "time.sleep(float(sys.argv[1]))\n"
        "print(time.monotonic_ns(), flush=True)\n"
        "os.kill(int(sys.argv[2]), int(sys.argv[3]))\n"
    )

    def __init__(self, seed: int, rate_hz: float) -> None:
        self._delay_s = np.random.default_rng(seed).uniform(0, 3 / rate_hz)
        self._process: subprocess.Popen[str] | None = None

    def send(self, number: signal.Signals) -> None:
        """Have it sent soon."""
        words = [str(self._delay_s), str(os.getpid()), str(int(number))]
        command = [sys.executable, "-I", "-S", "-c", self._PROGRAM, *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @property
    def sent_ns(self) -> int | None:
        """When it was sent; None when there was none to send."""
        return int(self._process.communicate()[0]) if self._process else None


def _signal(number: signal.Signals, killer: _Killer | None) -> None:
    if killer:
        killer.send(number)
    else:
        signal.raise_signal(number)
