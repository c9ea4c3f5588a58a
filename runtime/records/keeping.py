"""What a run leaves behind beside its summary, and who is told while it goes on.

run.mcap     by a process of its own, which the loop feeds through shared memory: any length, survives a kill
trace.npz    where that is not asked for: from this process's memory, when the run is over
page.html    the run as a page
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmh_edge import __version__
from dmh_edge.clock import Clock
from dmh_edge.contract import PolicyContract
from dmh_edge.files import write_text
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.records.feed import Feed
from dmh_edge.runtime.records.in_memory import Recorder
from dmh_edge.runtime.records.listeners import Both, Records
from dmh_edge.runtime.records.readers import Reader
from dmh_edge.runtime.report.overview import TIMES, Lines, Overview
from dmh_edge.runtime.report.page import page
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import Tally
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import Trace

PAGE_NAME = "page.html"
TRACE_NAME = "trace.npz"
RECORD_NAME = "run.mcap"


class Keeping:
    """Everything that records one run. Readers start with it and must be given back by `close`.

    Args:
        contract: the policy's.
        policy_sha256: its identity.
        backend: what computes it.
        rate_hz: of the loop.
        limits: when the run ends; how much memory a trace takes.
        clock: the loop's.
        out: folder of the records; None to keep none.
        mcap: whether to keep them as MCAP.
        live: whether somebody watches.
        about: what else the record shall tell of the run, by name.

    Attributes:
        records: what the loop tells; None where nobody listens.
    """

    def __init__(
        self,
        contract: PolicyContract,
        policy_sha256: str,
        backend: str,
        rate_hz: float,
        limits: Limits,
        clock: Clock,
        out: Path | None,
        *,
        mcap: bool,
        live: bool,
        about: Mapping[str, str],
    ) -> None:
        self._contract, self._policy_sha256, self._out = contract, policy_sha256, out
        self._recorder: Recorder | None = None
        self._feed: Feed | None = None
        self._trace: Trace | None = None
        if out and not mcap:
            self._recorder = Recorder(contract, limits.most_ticks(contract.task, rate_hz))
        if live or (out and mcap):
            self._feed = Feed(contract, rate_hz, clock)
        if self._feed and out and mcap:
            now_ns = time.time_ns()
            metadata = {
                **about,  # first: what the record says of itself is said by nobody else
                "started_ns": str(now_ns),
                "policy_sha256": policy_sha256,
                "backend": backend,
                "rate_hz": repr(rate_hz),
                "dmh_edge": __version__,
            }
            settings = {
                "path": str(out / RECORD_NAME),
                "metadata": metadata,
                "epoch_ns": now_ns - clock.now_ns(),
            }
            self._feed.keeper = self._start("dmh_edge.runtime.records.recorder", self._feed, settings)
        if self._feed and live:
            title = f"{contract.name} on {backend} at {rate_hz:g} Hz"
            self._start("dmh_edge.runtime.records.live_view", self._feed, {"title": title, "rate_hz": rate_hz})
        self.records: Records | None = (
            Both(self._recorder, self._feed) if self._recorder and self._feed else self._recorder or self._feed
        )

    def close(self) -> list[str]:
        """Let the readers finish. Idempotent.

        Returns:
            what went wrong with them, in words.
        """
        return self._feed.close() if self._feed else []

    def discard(self) -> None:
        """Remove the record of a run that never began; after `close`."""
        if self._feed and self._feed.keeper and self._out:
            (self._out / RECORD_NAME).unlink(missing_ok=True)

    def write_trace(self, session: Session) -> None:
        """Write ``trace.npz``, where that is how the run is kept.

        Raises:
            ArtifactError: it cannot be written.
        """
        if self._recorder and self._out:
            self._trace = self._recorder.trace(session)
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
        said = self._feed.keeper.said if self._feed and self._feed.keeper else None
        return Lines.model_validate(said["overview"]) if said and "overview" in said else None

    def _start(self, module: str, feed: Feed, settings: dict[str, object]) -> Reader:
        reader = Reader(module, len(feed.readers), self._contract, feed.slots, feed.states, settings)
        feed.readers.append(reader)
        return reader
