"""The report of a run: as JSON for programs, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from rich.table import Table

from dmh_edge.clock import PacedBy
from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.report.events import Event
from dmh_edge.runtime.report.histogram import Histogram
from dmh_edge.runtime.report.tally import Durations, SlotKind, StoppedBy, Tally
from dmh_edge.schema import Spec

SUMMARY_NAME = "summary.json"
_NS_PER_US = 1000
#: Number of episodes that are listed at the beginning and at the end.
_SHOWN = 10
_TITLES: dict[SlotKind, str] = {"actor": "actor ticks", "boundary": "boundary ticks", "no_step": "slots without a step"}


class Percentiles(Spec):
    """Distribution of some durations, in microseconds; percentiles are exact to 1%."""

    p50_us: float
    """Half of the durations are not longer."""
    p99_us: float
    """99 of 100 durations are not longer."""
    p999_us: float
    """999 of 1000 durations are not longer."""
    max_us: float
    """The longest duration."""

    @classmethod
    def of(cls, histogram: Histogram) -> Percentiles:
        """The percentiles of a histogram."""
        p50, p99, p999 = (histogram.percentile_ns(share) / _NS_PER_US for share in (0.5, 0.99, 0.999))
        return cls(p50_us=p50, p99_us=p99, p999_us=p999, max_us=histogram.longest_ns / _NS_PER_US)


class SlotTiming(Spec):
    """How long the parts of one kind of slot took."""

    count: int = Field(ge=0)
    """Number of slots of this kind."""
    lateness: Percentiles
    """Time from when a slot should have begun to its beginning."""
    compute: Percentiles
    """Duration of computing the policy."""
    total: Percentiles
    """Time from when a slot should have begun to its end, writing and recording included."""

    @classmethod
    def of(cls, durations: Durations) -> SlotTiming:
        """The timing of one kind of slot."""
        return cls(
            count=durations.lateness.count,
            lateness=Percentiles.of(durations.lateness),
            compute=Percentiles.of(durations.compute),
            total=Percentiles.of(durations.total),
        )


class Summary(Spec):
    """What happened in a run."""

    format_version: Literal[1] = 1
    """Version of this format."""
    policy: str
    """Name of the policy."""
    weights_sha256: str
    """Digest of the policy's weights."""
    backend: str
    """Name of the backend that computed the policy."""
    task: str
    """Name of the robot's task."""
    rate_hz: float
    """Control rate in Hz."""
    stopped_by: StoppedBy
    """Why the run ended: a limit, the operator, the guard, the watchdog, or an error."""
    detail: str
    """Why the run ended, in words."""
    slots: int
    """Number of turns that the loop took."""
    ticks: int
    """Number of policy steps."""
    held_slots: int
    """Number of turns without a step because of a fault."""
    overruns: int
    """Number of turns that ended so late that at least one slot was skipped."""
    skipped_slots: int
    """Number of slots that were skipped."""
    miss_rate: float = Field(ge=0, le=1)
    """Share of skipped slots: `skipped_slots` divided by the number of all slots, skipped ones included."""
    faults: dict[str, int]
    """How often the guard saw each fault; only faults that it saw."""
    events: tuple[Event, ...]
    """Faults and turning points of the run, with their times."""
    events_dropped: int
    """Number of faults that are not among the events, because there was no room."""
    actor: SlotTiming
    """Timing of ticks that ran only the graphs of every tick."""
    boundary: SlotTiming
    """Timing of ticks that also ran a slower graph."""
    no_step: SlotTiming
    """Timing of turns without a step: held turns, and the last turn of each episode."""
    returns: tuple[float, ...]
    """Sum of the rewards of each finished episode."""
    unfinished_return: float
    """Sum of the rewards of the last, unfinished episode."""
    unrecorded_ticks: int
    """Number of ticks that the records lack: no room, a full disk, or a recorder that was slow or died. Also 0 if no
    records were requested."""
    dry_run: bool = False
    """Whether nothing was written to the robot, which stood still."""
    pace: PacedBy = "clock"
    """What began the slots: the clock, or the robot's own readings."""
    about: dict[str, str] = Field(default={})
    """Further facts about the run: robot, its options, seed."""
    realtime: tuple[str, ...] = ()
    """What the loop requested from the kernel, and whether it was granted; empty when it requested nothing."""

    @classmethod
    def of(
        cls,
        tally: Tally,
        contract: PolicyContract,
        *,
        backend: str,
        rate_hz: float,
        faults: Mapping[Fault, int],
        unrecorded: int,
        events: tuple[Event, ...] = (),
        events_dropped: int = 0,
    ) -> Summary:
        """The report of what was counted in a run of a policy."""
        return cls(
            policy=contract.name,
            weights_sha256=contract.provenance.weights_sha256,
            backend=backend,
            task=contract.task.name,
            rate_hz=rate_hz,
            stopped_by=tally.stopped_by,
            detail=tally.detail,
            slots=tally.slots,
            ticks=tally.ticks,
            held_slots=tally.held_slots,
            overruns=tally.overruns,
            skipped_slots=tally.skipped_slots,
            miss_rate=tally.skipped_slots / max(tally.slots + tally.skipped_slots, 1),
            faults={fault.value: count for fault, count in faults.items() if count},
            events=events,
            events_dropped=events_dropped,
            **{kind: SlotTiming.of(durations) for kind, durations in tally.durations.items()},
            returns=tuple(tally.returns),
            unfinished_return=tally.unfinished_return,
            unrecorded_ticks=unrecorded,
        )

    def table(self) -> Table:
        """The report as a table for people."""
        table = Table(title=f"{self.policy} on {self.backend} at {self.rate_hz:g} Hz", show_header=False)
        table.add_column("what")
        table.add_column("value")
        if self.dry_run:
            table.add_row("DRY RUN", "nothing was written to the robot, so returns say nothing", style="bold")
        table.add_row("stopped by", f"{self.stopped_by}: {self.detail}")
        table.add_row("ticks", f"{self.ticks} in {self.slots} slots, {self.held_slots} held")
        table.add_row("overruns", f"{self.overruns}, {self.skipped_slots} slots skipped, {self.miss_rate:.3%} of all")
        for kind, title in _TITLES.items():
            timing: SlotTiming = getattr(self, kind)
            if timing.count:
                table.add_row(f"{title} ({timing.count})", "us: p50 / p99 / p99.9 / max", style="bold")
                for name in ("lateness", "compute", "total"):
                    table.add_row(f"  {name}", _in_words(getattr(timing, name)))
        if self.realtime:
            table.add_row("real time", "\n".join(grant.partition("; ")[0] for grant in self.realtime))
        for fault, count in self.faults.items():
            table.add_row(f"fault: {fault}", str(count), style="yellow")
        if self.unrecorded_ticks:
            table.add_row("not in the records", f"{self.unrecorded_ticks} ticks", style="yellow")
        table.add_row("episodes", str(len(self.returns)))
        table.add_row("return per episode", _listed(self.returns) or "none finished")
        return table


def _listed(values: tuple[float, ...]) -> str:
    """All values as text, or the first and the last ones if there are many."""
    words = [f"{value:.4g}" for value in values]
    return " ".join(words if len(words) <= 2 * _SHOWN else [*words[:_SHOWN], "...", *words[-_SHOWN:]])


def _in_words(percentiles: Percentiles) -> str:
    values = (percentiles.p50_us, percentiles.p99_us, percentiles.p999_us, percentiles.max_us)
    return " / ".join(f"{value:.0f}" for value in values)
