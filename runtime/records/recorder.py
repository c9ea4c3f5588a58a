"""Who is told by the loop of every step, every slot and every event.

trace_recorder     keeps a trace in memory
shared_recorder    publishes all of it to helper processes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from dmh_edge.runtime.report.events import EventKind
from dmh_edge.runtime.report.tally import SlotKind, Tally
from dmh_edge.runtime.sessions.session import Arrays, Session


class Recorder(Protocol):
    """Told by the loop what happens, in this order: `begin`, then steps and slots, then `end`."""

    @property
    def unrecorded(self) -> int:
        """Ticks that it did not keep."""
        ...

    def begin(self, session: Session) -> None:
        """The state is the run's; the robot is not armed yet.

        Raises:
            ArtifactError: nothing could be recorded.
        """
        ...

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """What went in and what came out, before the proposal is committed, or is not."""
        ...

    def commit(self, figures: Sequence[int], applied: NDArray[Any]) -> None:
        """The last proposal was adopted."""
        ...

    def slot(self, now_ns: int, kind: SlotKind, figures: Sequence[int], tally: Tally) -> None:
        """A slot is over.

        Args:
            now_ns: the time.
            kind: ``no_step`` where nothing was committed.
            figures: one per name in `tally.FIGURES`; only slot, lateness and total count here.
            tally: counters of the run.
        """
        ...

    def event(self, kind: EventKind, detail: str) -> None:
        """Something happens now; see `EventLog`. May come before `begin`."""
        ...

    def end(self, now_ns: int) -> None:
        """The run is over, and the robot stands still."""
        ...


class Recorders:
    """Two recorders that are told the same; the first one says what is kept."""

    def __init__(self, first: Recorder, second: Recorder) -> None:
        self._first, self._second = first, second

    @property
    def unrecorded(self) -> int:
        """What the first one says."""
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
