"""Time per tick that recording, the live view and the guard take: the real loop, paced.

    python benchmarks/tick_cost.py

An untrained policy of the paper's sizes, or the policy that --policy names, drives the fake robot in runs of a few
seconds. In each round there is one run without records, one with trace.npz, one with run.mcap and one with the live
view, so that a slow moment of the machine affects all of them. The time of a tick is the time between waking up and
going to sleep again. Differences are taken within a round; their 95% intervals are bootstrapped over the rounds.

The guard cannot be switched off. Its calls are therefore timed from outside, in extra runs that are used for nothing
else, and so is the check that all values of a proposal are finite; the time for reading the clock is subtracted. The
output of the live view is discarded: no terminal is measured. Exit code 1 if a run ended early.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from some_policy import policy_for

from dmh_edge import console
from dmh_edge.clock import MonotonicClock
from dmh_edge.errors import DmhEdgeError
from dmh_edge.intervals import intervals
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.runtime import operate as runtime_operate
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy

#: How ticks are recorded: fields of `Keeping`, and whether a folder for the records is given.
WAYS: dict[str, tuple[dict[str, bool], bool]] = {
    "neither records nor view": ({}, False),
    "trace.npz": ({}, True),
    "run.mcap": ({"mcap": True}, True),
    "live view": ({"live": True}, False),
}
#: As in `dmh-edge bench loop`: neither the robot nor the guard ends a run because the machine is late.
_PATIENCE_S = 1.0
_PATIENT = GuardSettings(late_window=1000, late_slots=1000)
_ENDLESS = 10**9
#: The first ticks of a run fill its caches.
_WARM_UP = 50


class Stopwatch:
    """Adds up the time that is spent in some functions.

    Attributes:
        spent_ns: time spent since it was last set to 0, in ns.
    """

    def __init__(self) -> None:
        self.spent_ns = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a timer; the time for reading the clock is measured at each call, and subtracted."""

        def call(*arguments: Any, **named: Any) -> Any:
            before_ns = monotonic_ns()
            begin_ns = monotonic_ns()
            try:
                return function(*arguments, **named)
            finally:
                self.spent_ns += (monotonic_ns() - begin_ns) - (begin_ns - before_ns)

        return call


class Timed:
    """Wraps an object, and times the calls of its methods. A call that a method makes itself counts for this method."""

    def __init__(self, behind: Any, stopwatch: Stopwatch) -> None:
        self._behind, self._stopwatch = behind, stopwatch

    def __getattr__(self, name: str) -> Any:
        """Return a timed method, which is made once, or any other attribute unchanged."""
        found = getattr(self._behind, name)
        if not callable(found):
            return found
        method = self._stopwatch.timed(found)
        setattr(self, name, method)
        return method


class TickClock(MonotonicClock):
    """The machine's clock, which also measures how long the loop is awake in each tick.

    Args:
        most: largest number of ticks that are measured.
        stopwatches: stopwatches that are read and set to 0 at the end of each tick.
    """

    def __init__(self, most: int, stopwatches: Sequence[Stopwatch]) -> None:
        super().__init__()
        self._stopwatches = stopwatches
        self._times_ns = np.full(
            (most, 1 + len(stopwatches)), 0
        )  # np.zeros would get its memory only while the loop runs
        self._count, self._woke_ns = 0, 0

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """See `MonotonicClock`."""
        if self._woke_ns and self._count < len(self._times_ns):
            row = self._times_ns[self._count]
            row[0] = monotonic_ns() - self._woke_ns
            for index, stopwatch in enumerate(self._stopwatches):
                row[1 + index], stopwatch.spent_ns = stopwatch.spent_ns, 0
            self._count += 1
        super().sleep_until_ns(deadline_ns)
        self._woke_ns = monotonic_ns()

    def times_us(self) -> NDArray[np.float64]:
        """Return the time awake and the time of each stopwatch, ``[ticks, 1 + stopwatches]``, without the warm-up."""
        return self._times_ns[_WARM_UP : self._count] / 1000


class Bench:
    """One policy on one robot, run again and again.

    Args:
        policy: the policy, checked.
        ticks: number of ticks in each run.
        realtime: whether the loop requests real time from the kernel.
    """

    def __init__(self, policy: Policy, ticks: int, realtime: Any) -> None:
        limits = {"max_hold_s": _PATIENCE_S, "max_observation_age_s": _PATIENCE_S, "horizon": _ENDLESS}
        task = policy.contract.task.model_copy(update=limits)
        self._policy = Policy(policy.folder, policy.contract.model_copy(update={"task": task}), policy.sha256)
        self._session = OrtSession(self._policy)
        self._ticks, self._realtime = ticks, realtime

    def run(self, out: Path | None, stopwatches: Sequence[Stopwatch] = (), **more: bool) -> NDArray[np.float64]:
        """Run once.

        Returns:
            times of the ticks in microseconds; see `TickClock.times_us`.

        Raises:
            DmhEdgeError: the run ended early.
            KeyboardInterrupt: Ctrl-C was pressed during the run.
        """
        task = self._policy.contract.task
        clock = TickClock(self._ticks + 1, stopwatches)
        with _silenced() if more.get("live") else contextlib.nullcontext():
            run = Run(
                limits=Limits(ticks=self._ticks),
                timing=Timing(realtime=self._realtime, clock=clock),
                keeping=Keeping(out, **more),
                guard=_PATIENT,
                noise_seed=0,
            )
            robot = FakeRobot(task, command_timeout_s=_PATIENCE_S)
            summary = operate(FakePolicy(self._policy.sha256), self._session, robot, run)
        if summary.stopped_by == "operator":
            raise KeyboardInterrupt
        if summary.stopped_by != "ticks":
            raise DmhEdgeError(f"a run was stopped by the {summary.stopped_by}: {summary.detail}")
        return clock.times_us()

    def run_guard(self) -> NDArray[np.float64]:
        """Return the time per tick in the guard and in the check for finite values, ``[ticks, 2]`` in microseconds."""
        guard, finite = Stopwatch(), Stopwatch()
        asked = finite.timed(self._session.proposal_is_finite)
        with (
            mock.patch.object(runtime_operate, "Guard", lambda *given, **named: Timed(Guard(*given, **named), guard)),
            mock.patch.object(self._session, "proposal_is_finite", asked),
        ):
            return self.run(None, (guard, finite))[:, 1:]


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Discard what this process, and the processes that it starts, write to standard error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def difference(ones: Sequence[float], others: Sequence[float]) -> str:
    """Return the mean difference, others minus ones, over the rounds, with its interval."""
    (found,) = intervals(np.subtract(others, ones)[None, :, None])
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def tables(found: dict[str, list[NDArray[np.float64]]], guard: Sequence[NDArray[np.float64]]) -> Iterator[Table]:
    """Yield a table that compares the ways of recording, and a table of the time in the guard."""
    medians = {way: [float(np.median(times)) for times in runs] for way, runs in found.items()}
    slow = {way: [float(np.quantile(times, 0.99)) for times in runs] for way, runs in found.items()}
    beside = Table(title="a tick, from waking up to going to sleep, us", title_justify="left")
    beside.add_column("recorded by")
    none = next(iter(found))
    for heading in ("p50", "p99", "p50: more than without", "p99: more than without"):
        beside.add_column(heading, justify="right")
    for way, runs in found.items():
        p50, p99 = np.quantile(np.concatenate(runs), (0.5, 0.99))
        more = [difference(kind[none], kind[way]) if way != none else "" for kind in (medians, slow)]
        beside.add_row(way, f"{p50:.1f}", f"{p99:.1f}", *more)
    yield beside
    inside = Table(title="part of every tick, us", title_justify="left")
    inside.add_column("spent in")
    for heading in ("p50", "p99"):
        inside.add_column(heading, justify="right")
    for index, name in enumerate(("the guard", "whether a proposal is finite")):
        p50, p99 = np.quantile(np.concatenate([times[:, index] for times in guard]), (0.5, 0.99))
        inside.add_row(name, f"{p50:.1f}", f"{p99:.1f}")
    yield inside


def main() -> None:
    """Run all rounds, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=1000, help="number of ticks in each run")
    parser.add_argument("--rounds", type=int, default=12, help="number of rounds, each with one run of each kind")
    parser.add_argument("--rate", type=float, default=200, help="control rate of the untrained policy in Hz")
    parser.add_argument(
        "--realtime", choices=("off", "try", "require"), default="try", help="real time, as in dmh-edge run"
    )
    parser.add_argument("--policy", type=Path, help="folder of an exported policy; it runs at its own rate")
    arguments = parser.parse_args()
    if arguments.ticks <= _WARM_UP:
        parser.error(f"--ticks: got {arguments.ticks}, expected more than the {_WARM_UP} that warm up")

    found: dict[str, list[NDArray[np.float64]]] = {way: [] for way in WAYS}
    guard = []
    # Drawn between two runs, by this thread: a thread that draws by itself would disturb the loop.
    columns = (TextColumn("rounds"), MofNCompleteColumn())
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            Progress(*columns, console=console.err, transient=True, auto_refresh=False) as progress,
        ):
            policy = policy_for(arguments.policy, Path(name), arguments.rate, _PATIENCE_S)
            bench = Bench(policy, arguments.ticks, arguments.realtime)
            task = progress.add_task("", total=arguments.rounds)
            for number in range(arguments.rounds):
                for way, (more, records) in WAYS.items():
                    out = Path(name, f"{number} {way}") if records else None
                    found[way].append(bench.run(out, **more)[:, 0])
                guard.append(bench.run_guard())
                progress.update(task, advance=1, refresh=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except DmhEdgeError as error:
        print(error)
        sys.exit(1)
    rate_hz = policy.contract.task.rate_hz
    print(f"{policy.contract.name} at {rate_hz:g} Hz, {arguments.rounds} runs of {arguments.ticks} ticks of each kind")
    for table in tables(found, guard):
        console.out.print(table)


if __name__ == "__main__":
    main()
