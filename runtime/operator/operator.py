"""The requests of a run's operator: stop, end the episode, and the confirmation of being present.

They come from keys at the terminal (`runtime.operator.terminal`) or from buttons that the user added, in any thread:
every method only sets a flag, which the loop checks between slots.
"""

from __future__ import annotations

from dmh_edge.clock import Clock


class Operator:
    """The requests of one operator.

    Args:
        clock: clock for the times of confirmations.

    Attributes:
        stop_reason: why a stop is requested; empty until then. A request is never taken back.
        confirmed_ns: when the operator last confirmed, in nanoseconds; 0 before the first confirmation.
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
        """Confirm that the operator is present."""
        self.confirmed_ns = self._clock.now_ns()

    def end_episode(self) -> None:
        """End the current episode as if its time were over; the robot then moves to the start of the next one."""
        self._end_episode = True

    def wants_episode_to_end(self) -> bool:
        """Whether the operator wants the episode to end; the call clears the request."""
        wanted, self._end_episode = self._end_episode, False
        return wanted
