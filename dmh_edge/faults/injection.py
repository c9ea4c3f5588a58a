"""Injects faults into the real loop: one run on a simulated robot, judged by the monitor in that robot.

`faults.catalogue` lists what can be injected: every fault of `runtime.guard.faults` that the loop can meet, for each
control mode. A fault that blocks the loop itself - a frozen process, native code that never returns - is the task of
the watchdog, outside the loop.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dmh_edge.clock import NS_PER_S, Clock, FakeClock, MonotonicClock
from dmh_edge.errors import DmhEdgeError
from dmh_edge.faults.catalogue import FAULTS, POLICY_FAULTS, ROBOT_FAULTS
from dmh_edge.faults.faulty_robot import CALL, FaultyRobot
from dmh_edge.faults.faulty_session import FaultySession
from dmh_edge.faults.signal_sender import SignalSender
from dmh_edge.faults.when import ALWAYS, When
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.monitor import Violation
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import parse
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, TaskSpec, names_of

#: The control modes in which faults are injected, with and without an action delay.
MODES: Final = ("velocity", "velocity, delayed", "position", "position, delayed", "delta", "effort", "discrete")

#: A fault that begins in the middle of an episode and does not end.
MIDDLE: Final = When(at=7)

_SIGNALS: Final = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM}
_SETTINGS = GuardSettings(longest_clamp_s=1.0, reset_timeout_s=0.2)


@dataclass(frozen=True)
class Injected:
    """The outcome of one injected fault.

    Attributes:
        summary: the report of the run.
        violations: violations that the robot's monitor noted.
        injected: whether the fault showed at all.
        to_stop_s: time from the fault to the robot's ``stop``, in seconds; None where the run went on to its end.
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
    """The faults that can show in a control mode, by name."""
    shown = {"all"} if mode == "discrete" else {"all", "numbers"}
    if mode.startswith("position"):
        shown.add("positions")
    return tuple(name for name, fault in FAULTS.items() if fault.shows_with in shown)


def task_of(mode: str, horizon: int) -> TaskSpec:
    """The task of two simulated joints in a control mode, with slew limits where the mode allows them."""
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
        measured = names_of(TWO_JOINTS.observation)
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
    when: When = MIDDLE,
    *,
    ticks: int = 150,
    horizon: int = 60,
    seed: int = 0,
    clock: Clock | None = None,
) -> Injected:
    """Run the loop with a fault.

    Args:
        fault: one of `FAULTS`.
        mode: one of `MODES`.
        when: the readings or steps in which the fault shows.
        ticks: number of policy steps after which the run ends well.
        horizon: number of steps of an episode.
        seed: seed of the exploration noise, and of the moment of a signal.
        clock: a fake clock to run without waiting; None for the machine's clock.

    Raises:
        ConfigError: the fault cannot show in this mode.
    """
    clock = MonotonicClock() if clock is None else clock
    operator, settings = Operator(clock), _SETTINGS
    if fault == "reset-blocks":
        horizon, when = when.at + 1, replace(when, lasts=None)  # it shows at the first reset after that reading
    task = task_of(mode, horizon)
    sender = SignalSender(seed, 3 / task.rate_hz) if isinstance(clock, MonotonicClock) else None
    if sender and fault in _SIGNALS:
        when, ticks = replace(when, lasts=1), 10_000  # nothing else may end the run before the signal does
    if fault == "operator-absent":
        settings = settings.model_copy(update={"deadman_s": 2.5 / task.rate_hz})
    inside = FakeRobot(task, clock=clock)
    robot = _robot_with(fault, when, inside, clock, _actions(operator, sender))
    session: Session = FakeSession(fake_contract(task))
    spoilt: FaultySession | None = None
    if fault in POLICY_FAULTS:
        session = spoilt = FaultySession(session, fault, when, clock=clock, pause=_pause(clock))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            limits=Limits(ticks=ticks),
            timing=Timing(clock=clock),
            keeping=Keeping(Path(folder)),
            attendance=Attendance(operator),
            guard=settings,
            noise_seed=None if mode.startswith("position") else seed,  # a target that trembles is always clamped
        )
        with contextlib.suppress(DmhEdgeError):  # the summary has the error
            operate(FakePolicy(), session, robot, run)
        summary = parse(Summary, (Path(folder) / SUMMARY_NAME).read_text(encoding="utf-8"), SUMMARY_NAME)
    injected_ns = robot.injected_ns if spoilt is None else spoilt.injected_ns
    if fault == "operator-absent":
        injected_ns = operator.confirmed_ns
    elif sender and (sent_ns := sender.sent_ns):
        injected_ns = sent_ns
    outcome = Injected(summary, tuple(inside.monitor.violations), injected_ns is not None, None)
    if not outcome.stopped or injected_ns is None or robot.stopped_ns is None:
        return outcome
    return replace(outcome, to_stop_s=(robot.stopped_ns - injected_ns) / NS_PER_S)


def _robot_with(
    fault: str, when: When, inside: FakeRobot, clock: Clock, actions: Mapping[str, Callable[[], None]]
) -> FaultyRobot:
    """The robot of a run with a fault; the fault itself can also lie in the policy or the operator."""
    if fault in ROBOT_FAULTS:
        return FaultyRobot(inside, fault, when, clock=clock, pause=_pause(clock))
    if fault == "operator-absent":  # one confirmation per reading, until the fault begins
        when = When(lasts=when.at + 1)
    elif fault not in actions:
        when = ALWAYS  # so that it notes the time of the stop
    return FaultyRobot(inside, CALL, when, clock=clock, call=actions.get(fault, lambda: None))


def _actions(operator: Operator, sender: SignalSender | None) -> dict[str, Callable[[], None]]:
    """What an operator does at a reading, by the name of the fault."""
    send = sender.send if sender else signal.raise_signal
    return {
        **{name: functools.partial(send, number) for name, number in _SIGNALS.items()},
        "operator-stop": lambda: operator.stop("the red button"),
        "operator-absent": operator.confirm,
    }


def _pause(clock: Clock) -> Callable[[float], None]:
    """A function that lets some seconds pass on a clock."""
    if isinstance(clock, FakeClock):
        return lambda seconds: clock.advance_ns(round(seconds * NS_PER_S))
    return time.sleep
