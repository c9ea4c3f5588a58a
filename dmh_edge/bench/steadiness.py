"""How late the control loop is on this machine: the real loop, on a simulated robot, beside a cyclictest.

Every setting is a run of `operate` on the fake robot, in real time and without records. cyclictest sleeps at the same
time for the same period on the same core; where the loop has SCHED_FIFO it has a higher priority, so that the loop
cannot disturb it. Needs no torch.
"""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

from dmh_edge.bench import cyclictest, load
from dmh_edge.clock import MonotonicClock
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.realtime import PRIORITY, RealTime, chosen_core, real_time
from dmh_edge.runtime.report.summary import Percentiles, SlotTiming
from dmh_edge.runtime.sessions.engine import Backend, session_for
from dmh_edge.runtime.sessions.fake_session import FakePolicy
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import Spec

#: The simulated robot waits so long for an action, and so long may one be held: the machine is judged, not the guard.
_PATIENCE_S = 1.0
_PATIENT = GuardSettings(late_window=1000, late_slots=1000)
#: One episode for all: its end would lay the loop's grid anew.
_ENDLESS = 10**9
#: What else the machine does: nothing, or work on all cores but the loop's.
Load = Literal["idle", "busy"]
LOADS: tuple[Load, ...] = ("idle", "busy")
_COLUMNS = ("turns", "p50", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Case:
    """A policy at a rate.

    Attributes:
        name: what to call the policy.
        policy: checked.
        backend: what computes it.
        rate_hz: in place of the contract's.
    """

    name: str
    policy: Policy
    backend: Backend
    rate_hz: float


class Setting(Spec):
    """What was measured of one policy at one rate under one load."""

    policy: str
    """Name of the policy."""
    backend: str
    """What computed it."""
    rate_hz: float
    """Control rate."""
    load: str
    """What else the machine was given to do."""
    seconds: float
    """How long it ran."""
    stopped_by: str
    """``duration``, where it came to its end."""
    slots: int
    """Turns that the loop took."""
    skipped_slots: int
    """Slots that passed without one."""
    actor: SlotTiming
    """Ticks that ran only what runs on every tick."""
    boundary: SlotTiming
    """Ticks that also ran a graph that is due now and then."""
    cyclictest: cyclictest.Latencies | None
    """The machine's share at the same time; None where cyclictest is not installed."""
    realtime: tuple[str, ...]
    """What the loop was granted."""

    def rows(self) -> Iterator[tuple[str, str, int, Percentiles]]:
        """What, of which turns, how many, and how they are distributed."""
        if self.cyclictest:
            who = (
                f"cyclictest, {'priority ' + str(self.cyclictest.priority) if self.cyclictest.priority else 'ordinary'}"
            )
            yield "lateness", who, self.cyclictest.count, self.cyclictest.latency
        for what in ("lateness", "compute", "total"):
            for kind in ("actor", "boundary"):
                timing: SlotTiming = getattr(self, kind)
                if timing.count:
                    yield what, f"{kind} ticks", timing.count, getattr(timing, what)

    def headline(self) -> str:
        """What was run, and how often it was too late."""
        missed = self.skipped_slots / max(1, self.slots + self.skipped_slots)
        line = f"{self.policy} on {self.backend} at {self.rate_hz:g} Hz, {self.load}: {missed:.3%} of the slots missed"
        if self.cyclictest:
            late = self.cyclictest.later_than_a_period / max(1, self.cyclictest.count)
            line += f", by cyclictest {late:.3%}"
        if self.stopped_by != "duration":
            line += f"; ended early by the {self.stopped_by}"
        return line

    def table(self) -> Table:
        """The distributions, for people."""
        table = Table()
        for heading in ("us", ""):
            table.add_column(heading)
        for heading in _COLUMNS:
            table.add_column(heading, justify="right")
        for what, who, count, found in self.rows():
            values = (found.p50_us, found.p99_us, found.p999_us, found.max_us)
            table.add_row(what, who, str(count), *(f"{value:.0f}" for value in values))
        return table


class LoopBench(Spec):
    """All that one call measured."""

    format_version: Literal[1] = 1
    """Version of this format."""
    machine: str
    """Architecture, kernel and number of cores."""
    load_average: float
    """Processes that wanted a core in the minute before: above 0 the machine had other work of its own."""
    settings: tuple[Setting, ...]
    """In the order in which they were measured."""

    def csv(self) -> str:
        """One line per distribution."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            ["policy", "backend", "rate_hz", "load", "what", "of", "turns", "p50_us", "p99_us", "p99.9_us", "max_us"]
        )
        for setting in self.settings:
            for what, who, count, found in setting.rows():
                figures = (f"{value:.1f}" for value in (found.p50_us, found.p99_us, found.p999_us, found.max_us))
                writer.writerow(
                    [setting.policy, setting.backend, setting.rate_hz, setting.load, what, who, count, *figures]
                )
        return text.getvalue()


def measure(
    cases: Sequence[Case],
    seconds: float,
    realtime: RealTime,
    spin_ns: int,
    loads: Sequence[Load],
    found: Callable[[Setting], None],
    say: Callable[[str], None],
) -> LoopBench:
    """Measure every case under every load.

    Args:
        cases: what to run.
        seconds: per case and load.
        realtime: what the loop asks of the kernel.
        spin_ns: see `MonotonicClock`.
        loads: what else the machine does, one after the other.
        found: told of each setting as soon as it is measured.
        say: told what there is to know beforehand.

    Raises:
        ConfigError: ``realtime`` is ``require``, and something was refused.
        BackendError: an engine or cyclictest failed.
    """
    average = os.getloadavg()[0]
    machine = f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} cores"
    say(f"{machine}; load average {average:.2f}: where it is not near 0, idle is not idle")
    with real_time(realtime) as grants:
        for grant in grants:
            say(str(grant))
        first = any(grant.what.startswith("SCHED_FIFO") and not grant.refusal for grant in grants)
        core = chosen_core() if first else None
    if not cyclictest.is_installed():
        say("cyclictest is missing, so nothing tells the loop's share from the machine's: apt-get install rt-tests")
    others = os.sched_getaffinity(0) - {chosen_core()}
    if "busy" in loads and not others:
        say("there is one core only: none is left to keep busy")
    settings = []
    for case in cases:
        for wanted in loads:
            if wanted == "busy" and not others:
                continue
            with load.busy(others) if wanted == "busy" else nullcontext("") as by:
                words = f"other cores busy ({by})" if by else "idle"
                setting = _measure(case, seconds, realtime, spin_ns, words, core)
            settings.append(setting)
            found(setting)
    return LoopBench(machine=machine, load_average=average, settings=tuple(settings))


def _measure(case: Case, seconds: float, realtime: RealTime, spin_ns: int, words: str, core: int | None) -> Setting:
    """One run. ``core`` is where a loop of real-time priority runs."""
    contract = case.policy.contract
    task = contract.task.model_copy(
        update={
            "rate_hz": case.rate_hz,
            "max_hold_s": _PATIENCE_S,
            "max_observation_age_s": _PATIENCE_S,
            "horizon": _ENDLESS,
        }
    )
    policy = Policy(case.policy.folder, contract.model_copy(update={"task": task}), case.policy.sha256)
    session = session_for(policy, case.backend)
    priority = 0 if core is None else PRIORITY + 10
    try:
        with cyclictest.beside(round(1e6 / case.rate_hz), seconds, core, priority) as latencies:
            run = Run(
                limits=Limits(duration_s=seconds),
                timing=Timing(realtime=realtime, clock=MonotonicClock(spin_ns)),
                guard=_PATIENT,
                noise_seed=0,
            )
            robot = FakeRobot(task, command_timeout_s=_PATIENCE_S)
            summary = operate(FakePolicy(policy.sha256), session, robot, run)
            if summary.stopped_by == "operator":
                raise KeyboardInterrupt  # in here, where it ends the cyclictest too
    finally:
        session.close()
    return Setting(
        policy=case.name,
        backend=summary.backend,
        rate_hz=case.rate_hz,
        load=words,
        seconds=seconds,
        stopped_by=summary.stopped_by,
        slots=summary.slots,
        skipped_slots=summary.skipped_slots,
        actor=summary.actor,
        boundary=summary.boundary,
        cyclictest=latencies[0] if latencies else None,
        realtime=summary.realtime,
    )
