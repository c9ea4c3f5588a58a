"""What the loop reports every step, every slot and every event to.

trace_recorder     keeps a trace in memory
shared_recorder    publishes everything to other processes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from dmh_edge.runtime.report.events import EventKind
from dmh_edge.runtime.report.tally import SlotKind, Tally
from dmh_edge.runtime.sessions.session import Arrays, Session


class Recorder(Protocol):
    """Gets everything from the loop that happens, in this order: `begin`, then steps and slots, then `end`."""

    @property
    def unrecorded(self) -> int:
        """Number of ticks that were not kept."""
        ...

    def begin(self, session: Session) -> None:
        """Begin the run. The session has the state with which the run begins; the robot is not armed yet.

        Raises:
            ArtifactError: recording could not start.
        """
        ...

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """Take the inputs and outputs of a proposal, before it is committed or dropped."""
        ...

    def commit(self, figures: Sequence[int], applied: NDArray[Any]) -> None:
        """Keep the last proposal, which was adopted."""
        ...

    def slot(self, now_ns: int, kind: SlotKind, figures: Sequence[int], tally: Tally) -> None:
        """Take a slot that is over.

        Args:
            now_ns: the time, in nanoseconds.
            kind: kind of the slot; ``no_step`` where nothing was committed.
            figures: one per name in `tally.FIGURES`; only slot, lateness and total are set here.
            tally: counters of the run.
        """
        ...

    def event(self, kind: EventKind, detail: str) -> None:
        """Take an event that happens now; see `EventLog`. It can come before `begin`."""
        ...

    def end(self, now_ns: int) -> None:
        """End the run; the robot stands still."""
        ...


class Recorders:
    """Two recorders that get the same calls; `unrecorded` is the first one's."""

    def __init__(self, first: Recorder, second: Recorder) -> None:
        self._first, self._second = first, second

    @property
    def unrecorded(self) -> int:
        """Number of ticks that the first recorder did not keep."""
        return self._first.unrecorded

    def begin(self, session: Session) -> None:
        """See `Recorder`."""
        self._first.begin(session)
        self._second.begin(session)

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """See `Recorder`."""
        self._first.propose(world, outputs, boundary, session)
        self._second.propose(world, outputs, boundary, session)

    def commit(self, figures: Sequence[int], applied: NDArray[Any]) -> None:
        """See `Recorder`."""
        self._first.commit(figures, applied)
        self._second.commit(figures, applied)

    def slot(self, now_ns: int, kind: SlotKind, figures: Sequence[int], tally: Tally) -> None:
        """See `Recorder`."""
        self._first.slot(now_ns, kind, figures, tally)
        self._second.slot(now_ns, kind, figures, tally)

    def event(self, kind: EventKind, detail: str) -> None:
        """See `Recorder`."""
        self._first.event(kind, detail)
        self._second.event(kind, detail)

    def end(self, now_ns: int) -> None:
        """See `Recorder`."""
        self._first.end(now_ns)
        self._second.end(now_ns)
