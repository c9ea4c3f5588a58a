"""When an injected fault shows: from where on, for how long, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class When:
    """The readings of a robot, or the steps of a session, in which a fault shows; the first one has number 0.

    Attributes:
        at: number at which the fault begins.
        lasts: how many readings or steps later it is over; None for never.
        every: it shows in every ``every``-th of them.
    """

    at: int = 0
    lasts: int | None = None
    every: int = 1

    def includes(self, number: int) -> bool:
        """Whether the fault shows at that number."""
        since = number - self.at
        return since >= 0 and (self.lasts is None or since < self.lasts) and since % self.every == 0


#: In every reading or step.
ALWAYS = When()
