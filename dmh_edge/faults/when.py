"""When an injected fault shows: from which reading or step on, for how long, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class When:
    """The readings of a robot, or the steps of a session, in which a fault shows; the first one has number 0.

    Attributes:
        at: number of the reading or step at which the fault begins.
        lasts: number of readings or steps after which it is over; None for a fault that does not end.
        every: the fault shows in one of every ``every`` of them, beginning with the first.
    """

    at: int = 0
    lasts: int | None = None
    every: int = 1

    def includes(self, number: int) -> bool:
        """Whether the fault shows at that number."""
        since = number - self.at
        return since >= 0 and (self.lasts is None or since < self.lasts) and since % self.every == 0


#: A fault that shows in every reading or step.
ALWAYS = When()
