"""What a run leaves behind beside its summary, and who is told while it goes on.

run.mcap     the ticks, written by a process that reads them from shared memory: any length, survives a kill
trace.npz    the ticks, where MCAP is not asked for: from this process's memory, when the run is over
page.html    the run as a page
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dmh_edge import __version__
from dmh_edge.clock import Clock
from dmh_edge.contract import PolicyContract
from dmh_edge.files import write_text
from dmh_edge.runtime.records.recorder import Recorder, Recorders
from dmh_edge.runtime.records.shared_recorder import SharedRecorder
from dmh_edge.runtime.records.trace_recorder import TraceRecorder
from dmh_edge.runtime.report.overview import TIMES, Lines, Overview
from dmh_edge.runtime.report.page import page
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import Tally
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import Trace

PAGE_NAME = "page.html"
TRACE_NAME = "trace.npz"
RECORD_NAME = "run.mcap"


@dataclass(frozen=True)
class Keeping:
    """What is kept of a run, and who watches it.

    Attributes:
        out: folder of the records; None to keep none.
        mcap: whether to keep them as MCAP instead of as a trace.
        live: whether to show on the terminal how the run goes.
        about: what else the record tells of the run, by name.
    """

    out: Path | None = None
    mcap: bool = False
    live: bool = False
    about: Mapping[str, str] = field(default_factory=dict)


class RunRecords:
    """Everything that records one run. Its processes start with it; `close` ends them.

    Args:
        contract: the policy's.
        policy_sha256: its identity.
        backend: what computes it.
        rate_hz: rate of the loop.
        most_ticks: how many ticks the run can have; may be infinite.
        clock: the loop's.
        keeping: what to keep.

    Attributes:
        recorder: what the loop tells; None where nothing is kept or shown.
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
        self._contract, self._policy_sha256, self._out = contract, policy_sha256, keeping.out
        self._kept: TraceRecorder | None = None
        self._shared: SharedRecorder | None = None
        self._trace: Trace | None = None
        out, mcap = keeping.out, keeping.mcap
        if out and not mcap:
            self._kept = TraceRecorder(contract, most_ticks)
        if keeping.live or (out and mcap):
            self._shared = SharedRecorder(contract, rate_hz, clock)
        if self._shared and out and mcap:
            now_ns = time.time_ns()
            metadata = {
                **keeping.about,  # first: nothing else may replace what the record says of itself
                "started_ns": str(now_ns),
                "policy_sha256": policy_sha256,
                "backend": backend,
                "rate_hz": repr(rate_hz),
                "dmh_edge": __version__,
            }
            settings = {"path": out / RECORD_NAME, "metadata": metadata, "epoch_ns": now_ns - clock.now_ns()}
            self._shared.keeper = self._shared.start("recorder", "dmh_edge.runtime.records.mcap_process", settings)
        if self._shared and keeping.live:
            title = f"{contract.name} on {backend} at {rate_hz:g} Hz"
            settings = {"title": title, "rate_hz": rate_hz}
            self._shared.start("live view", "dmh_edge.runtime.records.live_view", settings)
        self.recorder: Recorder | None = (
            Recorders(self._kept, self._shared) if self._kept and self._shared else self._kept or self._shared
        )

    def close(self) -> list[str]:
        """Let the readers finish. Idempotent.

        Returns:
            what went wrong with them, in words.
        """
        return self._shared.close() if self._shared else []

    def discard(self) -> None:
        """Remove the record of a run that never began; after `close`."""
        if self._shared and self._shared.keeper and self._out:
            (self._out / RECORD_NAME).unlink(missing_ok=True)

    def write_trace(self, session: Session) -> None:
        """Write ``trace.npz``, if the run is kept as that.

        Raises:
            ArtifactError: it cannot be written.
        """
        if self._kept and self._out:
            self._trace = self._kept.trace(session)
            self._trace.save(self._out / TRACE_NAME)

    def write_page(self, summary: Summary, tally: Tally) -> None:
        """Write ``page.html``; after `close` and `write_trace`.

        Raises:
            ArtifactError: it cannot be written.
        """
        if self._out:
            text = page(summary, self._contract, self._policy_sha256, tally.durations, self._lines())
            write_text(self._out / PAGE_NAME, text)

    def _lines(self) -> Lines | None:
        """The run over time: from the trace, or as the recorder has seen it."""
        if self._trace:
            timing = self._trace.timing
            overview = Overview(self._contract)
            figures = np.stack([timing[f"{name}_ns"] for name in TIMES], axis=1)
            overview.add(timing["ended_ns"], figures, timing["applied_action"])
            return overview.lines()
        said = self._shared.keeper.said if self._shared and self._shared.keeper else None
        return Lines.model_validate(said["overview"]) if said and "overview" in said else None
