"""The records that a run leaves in its folder, and the processes that write or show them while it goes on.

run.mcap      the ticks, written by a process that reads them from shared memory: any length, survives a kill
trace.npz     the ticks, if MCAP was not chosen: written from this process's memory when the run is over
summary.json  the report of the run, for programs
page.html     the report for people, with charts of the run over time
guard.json    the guard's settings
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

from dmh_edge.clock import Clock
from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ConfigError
from dmh_edge.files import require_writable, what_failed, write_text
from dmh_edge.runtime.guard.guard_settings import GUARD_NAME, GuardSettings
from dmh_edge.runtime.records.recorder import Recorder, Recorders
from dmh_edge.runtime.records.shared_recorder import SharedRecorder
from dmh_edge.runtime.records.trace_recorder import TraceRecorder
from dmh_edge.runtime.report.overview import TIMES, OverTime, Overview
from dmh_edge.runtime.report.page import page
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.report.tally import Tally
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import Trace
from dmh_edge.version import __version__

PAGE_NAME = "page.html"
TRACE_NAME = "trace.npz"
RECORD_NAME = "run.mcap"
#: Every file that a run writes into its folder.
_NAMES = (SUMMARY_NAME, GUARD_NAME, PAGE_NAME, TRACE_NAME, RECORD_NAME)


@dataclass(frozen=True)
class Keeping:
    """Which records are kept of a run, and whether it is shown live.

    Attributes:
        out: folder of the records; None to keep none.
        mcap: whether to keep the ticks as MCAP instead of as a trace.
        live: whether to show the run on the terminal while it goes on.
        about: further facts about the run for the records, by name.
    """

    out: Path | None = None
    mcap: bool = False
    live: bool = False
    about: Mapping[str, str] = field(default_factory=dict)


class RunRecords:
    """Everything that records one run: `start` begins, `close` ends, `write` or `discard` comes last.

    It is a context: a run that is left before either of these leaves no files behind.

    Args:
        contract: contract of the policy.
        policy_sha256: identity of the policy.
        backend: name of the backend that computes the policy.
        rate_hz: rate of the loop in Hz.
        most_ticks: largest number of ticks that the run can have; can be infinite.
        clock: clock of the loop.
        keeping: which records to keep.

    Raises:
        ArtifactError: the folder cannot be written.
        ConfigError: the folder already contains a run.
    """

    def __init__(
        self,
        contract: PolicyContract,
        policy_sha256: str,
        backend: str,
        rate_hz: float,
        most_ticks: float,
        clock: Clock,
        keeping: Keeping,
    ) -> None:
        self._contract, self._policy_sha256, self._backend = contract, policy_sha256, backend
        self._rate_hz, self._most_ticks, self._clock = rate_hz, most_ticks, clock
        self._keeping, self._out = keeping, keeping.out
        self._kept: TraceRecorder | None = None
        self._shared: SharedRecorder | None = None
        self._trace: Trace | None = None
        self._settled = False  # whether it is decided what stays of the run
        self._folder_is_new = bool(self._out) and not (self._out and self._out.exists())
        if self._out:
            require_writable(self._out)
            if found := [name for name in _NAMES if (self._out / name).exists()]:
                raise ConfigError(f"{self._out} already contains a run ({', '.join(found)}); name another folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what is there of a run that was refused before it could begin."""
        if not self._settled:
            self.close()
            self.discard()

    def start(self) -> Recorder | None:
        """Start the processes that record and show the run.

        Returns:
            the recorder that the loop must call; None where nothing is kept or shown.
        """
        keeping, clock = self._keeping, self._clock
        if self._out and not keeping.mcap:
            self._kept = TraceRecorder(self._contract, self._most_ticks)
        if keeping.live or (self._out and keeping.mcap):
            self._shared = SharedRecorder(self._contract, self._rate_hz, clock)
        if self._shared and self._out and keeping.mcap:
            now_ns = time.time_ns()
            metadata = {
                **keeping.about,  # first, so that it cannot replace the entries below
                "started_ns": str(now_ns),
                "policy_sha256": self._policy_sha256,
                "backend": self._backend,
                "rate_hz": repr(self._rate_hz),
                "dmh_edge": __version__,
            }
            settings = {"path": self._out / RECORD_NAME, "metadata": metadata, "epoch_ns": now_ns - clock.now_ns()}
            self._shared.keeper = self._shared.start("recorder", "dmh_edge.runtime.records.mcap_process", settings)
        if self._shared and keeping.live:
            title = f"{self._contract.name} on {self._backend} at {self._rate_hz:g} Hz"
            settings = {"title": title, "rate_hz": self._rate_hz}
            self._shared.start("live view", "dmh_edge.runtime.records.live_view", settings)
        return Recorders(self._kept, self._shared) if self._kept and self._shared else self._kept or self._shared

    def close(self) -> list[str]:
        """Let the readers finish. Idempotent.

        Returns:
            what went wrong with them, in words.
        """
        return self._shared.close() if self._shared else []

    def discard(self) -> None:
        """Remove the files of a run that never began. To be called after `close`."""
        self._settled = True
        if not self._out:
            return
        if self._shared and self._shared.keeper:
            (self._out / RECORD_NAME).unlink(missing_ok=True)
        if self._folder_is_new:
            with contextlib.suppress(OSError):  # another program has left something in it
                self._out.rmdir()

    def write(self, report: Callable[[], Summary], guard: GuardSettings, tally: Tally, session: Session) -> list[str]:
        """Write everything that can be written. To be called after `close`.

        Args:
            report: returns the summary of the run.
            guard: settings of the guard, as the user gave them.
            tally: counters of the run.
            session: the session, whose state is the last one of the run.

        Returns:
            what could not be written, in words.
        """
        self._settled, out = True, self._out
        if not out:
            return []
        writers: list[Callable[[], None]] = [
            lambda: write_text(out / GUARD_NAME, guard.model_dump_json(indent=2) + "\n"),
            lambda: write_text(out / SUMMARY_NAME, report().model_dump_json(indent=2) + "\n"),
            lambda: self._write_trace(session, out),
            lambda: write_text(out / PAGE_NAME, self._page(report(), tally)),
        ]
        return [failure for failure in map(what_failed, writers) if failure]

    def _write_trace(self, session: Session, out: Path) -> None:
        if self._kept:
            self._trace = self._kept.trace(session)
            self._trace.save(out / TRACE_NAME)

    def _page(self, summary: Summary, tally: Tally) -> str:
        """The page of the run. To be called after the trace is written, if there is one."""
        return page(summary, self._contract, self._policy_sha256, tally.durations, self._lines())

    def _lines(self) -> OverTime | None:
        """The run over time, from the trace or from the recorder process; None without records."""
        if self._trace:
            timing = self._trace.timing
            overview = Overview(self._contract)
            figures = np.stack([timing[f"{name}_ns"] for name in TIMES], axis=1)
            overview.add(timing["ended_ns"], figures, timing["applied_action"])
            return overview.lines()
        said = self._shared.keeper.said if self._shared and self._shared.keeper else None
        return OverTime.model_validate(said["overview"]) if said and "overview" in said else None
