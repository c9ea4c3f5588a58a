"""What the operator of a run says: go, stop, end the episode, I am here.

Keys at the terminal say it (`runtime.operator.terminal`), or buttons of the user's own, from any thread: every method
only sets a flag, which the loop looks at between slots.
"""

from __future__ import annotations

from dmh_edge.clock import Clock


class Operator:
    """The wishes of one operator.

    Args:
        clock: stamps confirmations.

    Attributes:
        stop_reason: who wants a stop; empty until then. It is never taken back.
        confirmed_ns: when the operator last said to be there; 0 before the first time.
    """

    def __init__(self, clock: Clock) -> None:
        self.stop_reason = ""
        self.confirmed_ns = 0
        self._clock = clock
        self._end_episode = False

    def stop(self, reason: str) -> None:
        """Stop the robot within a slot."""
        self.stop_reason = self.stop_reason or reason

    def confirm(self) -> None:
        """The operator is there."""
        self.confirmed_ns = self._clock.now_ns()

    def end_episode(self) -> None:
        """End the episode under way, as if its time were over; the robot goes back to a start."""
        self._end_episode = True

    def wants_episode_to_end(self) -> bool:
        """Whether the operator wants the episode to end; asking takes the wish back."""
        wanted, self._end_episode = self._end_episode, False
        return wanted
