"""What happened in a run, told from how its counters move: faults, slots that passed, episodes that ended.

The loop says once a slot where its counters stand; nothing else has to know that somebody listens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.tally import Tally
from dmh_edge.schema import Spec

#: So many faults and stops are kept for the report; all of them are counted, and recorded.
_MOST_KEPT: Final = 200

Kind = Literal["fault", "overrun", "episode", "stop"]


class Change(Spec):
    """One thing that happened."""

    time_s: float = Field(ge=0)
    """Since the first slot."""
    kind: Kind
    """What kind of thing."""
    detail: str
    """In words."""


class Changes:
    """Looks at the counters of one run.

    Attributes:
        kept: the first faults, and the stop.
    """

    def __init__(self) -> None:
        self.kept: list[Change] = []
        self._began_ns: int | None = None
        self._faults: dict[Fault, int] = {}
        self._total = 0
        self._skipped = 0
        self._episodes = 0

    def look(self, now_ns: int, tally: Tally, faults: Mapping[Fault, int]) -> list[Change]:
        """What happened since the last look."""
        if self._began_ns is None:
            self._began_ns = now_ns
        total = sum(faults.values())
        if total == self._total and tally.skipped_slots == self._skipped and len(tally.returns) == self._episodes:
            return []
        found: list[Change] = []
        if total != self._total:
            changed = [fault for fault, count in faults.items() if count != self._faults.get(fault, 0)]
            found += [self._change(now_ns, "fault", fault.value) for fault in changed]
            self._faults, self._total = dict(faults), total
        if passed := tally.skipped_slots - self._skipped:
            found.append(self._change(now_ns, "overrun", f"{passed} slot{'s' * (passed > 1)} passed without a turn"))
            self._skipped = tally.skipped_slots
        found += [
            self._change(now_ns, "episode", f"episode {number + 1} ended, return {tally.returns[number]:.6g}")
            for number in range(self._episodes, len(tally.returns))
        ]
        self._episodes = len(tally.returns)
        return found

    def stop(self, now_ns: int, tally: Tally) -> Change:
        """The run is over."""
        return self._change(now_ns, "stop", f"{tally.stopped_by}: {tally.detail}")

    def _change(self, now_ns: int, kind: Kind, detail: str) -> Change:
        since_ns = now_ns - (now_ns if self._began_ns is None else self._began_ns)
        change = Change(time_s=max(since_ns, 0) / 1e9, kind=kind, detail=detail)
        if kind == "stop" or (kind == "fault" and len(self.kept) < _MOST_KEPT):
            self.kept.append(change)
        return change
