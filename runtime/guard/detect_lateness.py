"""Detects slots that are late, and loops that are late too often."""

from __future__ import annotations

from dmh_edge.clock import NS_PER_S
from dmh_edge.runtime.guard.guard_settings import GuardSettings


class LatenessDetector:
    """Remembers which of the last slots of one loop were late; skipped slots count as late.

    Args:
        settings: settings with the time budget of a slot, and with how many of the last slots may be late.
        period_ns: control period in nanoseconds; the budget of a slot where the settings give none.
    """

    def __init__(self, settings: GuardSettings, period_ns: int) -> None:
        self._late = 0
        self._budget_ns = period_ns if settings.budget_s is None else round(settings.budget_s * NS_PER_S)
        self._most = settings.late_slots
        self._window = bytearray(settings.late_window)
        self._index = 0

    def is_over(self, slot_ns: int, now_ns: int) -> bool:
        """Whether the budget of a slot that began at ``slot_ns`` is used up."""
        return now_ns - slot_ns > self._budget_ns

    def skip(self, slots: int) -> None:
        """Count skipped slots as late."""
        for _ in range(min(slots, len(self._window))):
            self.end_slot(late=True)

    def end_slot(self, late: bool) -> None:
        """Count a slot that is over, late or not."""
        self._late += late - self._window[self._index]
        self._window[self._index] = late
        self._index = (self._index + 1) % len(self._window)

    def late_too_often(self) -> str:
        """Why too many of the last slots were late, in words; empty if they were not."""
        if self._late < self._most:
            return ""
        return f"{self._late} of the last {len(self._window)} slots, skipped ones too"
