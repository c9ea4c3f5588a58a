"""How late the control loop is on this machine: the real loop, on a simulated robot, beside cyclictest.

Every setting is a run of `operate` on the fake robot, in real time and without records. At the same time, cyclictest
sleeps with the same period on the same core. If the loop has SCHED_FIFO, cyclictest has a higher priority, so that the
loop cannot disturb it. No torch is needed.
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

#: How long the simulated robot waits for an action, an action can be held, and an observation can be old, in seconds.
#: It is so long that a late machine is measured, instead of being stopped by the guard.
_PATIENCE_S = 1.0
_PATIENT = GuardSettings(late_window=1000, late_slots=1000)
#: Ticks in an episode: a run is one episode, because the end of an episode starts a new grid of slots.
_ENDLESS = 10**9
#: What else the machine does: nothing, or work on all cores except the loop's.
Load = Literal["idle", "busy"]
LOADS: tuple[Load, ...] = ("idle", "busy")
_COLUMNS = ("turns", "p50", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Case:
    """A policy at a rate.

    Attributes:
        name: name of the policy in the results.
        policy: the policy, checked.
        backend: backend that computes the policy.
        rate_hz: control rate in Hz, in place of the contract's.
    """

    name: str
    policy: Policy
    backend: Backend
    rate_hz: float


class Setting(Spec):
    """Results of one policy at one rate under one load."""

    policy: str
    """Name of the policy."""
    backend: str
    """Backend that computed the policy."""
    rate_hz: float
    """Control rate in Hz."""
    load: str
    """Load of the other cores: ``idle``, or busy with the name of the program that keeps them busy."""
    seconds: float
    """Duration that was asked for, in seconds."""
    stopped_by: str
    """What ended the run: ``duration`` if it ran to its end."""
    slots: int
    """Number of slots in which the loop ran."""
    skipped_slots: int
    """Number of slots that were skipped."""
    actor: SlotTiming
    """Timing of the ticks that ran only the graphs that are due every tick."""
    boundary: SlotTiming
    """Timing of the ticks that also ran a graph that is due less often."""
    cyclictest: cyclictest.Latencies | None
    """Lateness of cyclictest at the same time, which is the machine's own; None if cyclictest is not installed."""
    realtime: tuple[str, ...]
    """What the loop requested from the kernel, and the answers."""

    def rows(self) -> Iterator[tuple[str, str, int, Percentiles]]:
        """Yield what was measured, of which wake-ups or ticks, their number, and the distribution."""
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
        """Return one line: what was run, and what share of the slots was missed."""
        missed = self.skipped_slots / max(1, self.slots + self.skipped_slots)
        line = f"{self.policy} on {self.backend} at {self.rate_hz:g} Hz, {self.load}: {missed:.3%} of the slots missed"
        if self.cyclictest:
            late = self.cyclictest.later_than_a_period / max(1, self.cyclictest.count)
            line += f", by cyclictest {late:.3%}"
        if self.stopped_by != "duration":
            line += f"; ended early by the {self.stopped_by}"
        return line

    def table(self) -> Table:
        """Return the distributions as a table."""
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
    """Results of one call of `measure`."""

    format_version: Literal[1] = 1
    """Version of this format."""
    machine: str
    """Architecture, kernel and number of cores."""
    load_average: float
    """Mean number of processes that wanted a core in the minute before: above 0, the machine had other work."""
    settings: tuple[Setting, ...]
    """Results, in the order in which they were measured."""

    def csv(self) -> str:
        """Return the distributions as CSV, one line for each."""
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
        cases: policies to run, each at a rate.
        seconds: duration per case and load, in seconds.
        realtime: whether the loop requests real time from the kernel.
        spin_ns: see `MonotonicClock`.
        loads: what else the machine does, one after the other.
        found: called with the results of each setting as soon as it is measured.
        say: called with what is to be known before the results are read.

    Raises:
        ConfigError: ``realtime`` is ``require``, and the kernel refused something.
        BackendError: an engine or cyclictest failed.
    """
    average = os.getloadavg()[0]
    machine = f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} cores"
    say(f"{machine}; load average {average:.2f}: if it is not near 0, an idle setting is not really idle")
    with real_time(realtime) as grants:
        for grant in grants:
            say(str(grant))
        first = any(grant.what.startswith("SCHED_FIFO") and not grant.refusal for grant in grants)
        core = chosen_core() if first else None
    if not cyclictest.is_installed():
        say(
            "cyclictest is not installed, so it cannot be seen how much of the lateness is the machine's; "
            "install it with: apt-get install rt-tests"
        )
    others = os.sched_getaffinity(0) - {chosen_core()}
    if "busy" in loads and not others:
        say("only one core can be used, the loop's, so no other core can be kept busy: busy is left out")
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
    """Measure one case under one load. ``core`` is the core of a loop with real-time priority; None without."""
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
                raise KeyboardInterrupt  # raised inside the block, so that cyclictest is ended too
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
