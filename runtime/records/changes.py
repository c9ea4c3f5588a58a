"""What happens in a run, told from how its counters move: faults, slots that passed, episodes that ended.

The loop says once a slot where its counters stand; nothing else has to know that somebody reads along. The report has
the faults with their times from `runtime.report.events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.report.tally import Tally

Kind = Literal["fault", "overrun", "episode", "stop"]


class Change(NamedTuple):
    """One thing that happened: what kind of thing, and in words."""

    kind: Kind
    detail: str


class Changes:
    """Looks at the counters of one run."""

    def __init__(self) -> None:
        self._faults: dict[Fault, int] = {}
        self._total = 0
        self._skipped = 0
        self._episodes = 0

    def look(self, tally: Tally, faults: Mapping[Fault, int]) -> list[Change]:
        """What happened since the last look."""
        total = sum(faults.values())
        if total == self._total and tally.skipped_slots == self._skipped and len(tally.returns) == self._episodes:
            return []
        found: list[Change] = []
        if total != self._total:
            changed = [fault for fault, count in faults.items() if count != self._faults.get(fault, 0)]
            found += [Change("fault", fault.value) for fault in changed]
            self._faults, self._total = dict(faults), total
        if passed := tally.skipped_slots - self._skipped:
            found.append(Change("overrun", f"{passed} slot{'s' * (passed > 1)} passed without a turn"))
            self._skipped = tally.skipped_slots
        found += [
            Change("episode", f"episode {number + 1} ended, return {tally.returns[number]:.6g}")
            for number in range(self._episodes, len(tally.returns))
        ]
        self._episodes = len(tally.returns)
        return found
