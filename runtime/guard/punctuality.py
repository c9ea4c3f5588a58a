"""How punctual a loop is: which slots were late, and how many of the last ones."""

from __future__ import annotations

from dmh_edge.clock import NS_PER_S
from dmh_edge.runtime.guard.guard_settings import GuardSettings


class Punctuality:
    """Remembers the last slots of one loop; those that were skipped were late.

    Args:
        settings: budget and window.
        period_ns: the budget where nobody says otherwise.

    Attributes:
        late: how many of the last slots were.
    """

    def __init__(self, settings: GuardSettings, period_ns: int) -> None:
        self.late = 0
        self._budget_ns = period_ns if settings.budget_s is None else round(settings.budget_s * NS_PER_S)
        self._most = settings.late_slots
        self._window = bytearray(settings.late_window)
        self._index = 0

    def is_over(self, slot_ns: int, now_ns: int) -> bool:
        """Whether the budget of a slot that began at ``slot_ns`` is used up."""
        return now_ns - slot_ns > self._budget_ns

    def skip(self, slots: int) -> None:
        """Slots passed without a turn."""
        for _ in range(min(slots, len(self._window))):
            self.end_slot(late=True)

    def end_slot(self, late: bool) -> None:
        """A slot is over."""
        self.late += late - self._window[self._index]
        self._window[self._index] = late
        self._index = (self._index + 1) % len(self._window)

    @property
    def complaint(self) -> str:
        """Why there were too many late ones; empty while there were not."""
        if self.late < self._most:
            return ""
        return f"{self.late} of the last {len(self._window)} slots, skipped ones too"
