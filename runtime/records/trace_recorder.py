"""A recorder that keeps a trace of a run in memory allocated before the first tick: a raw copy per tick.

A policy's ticks are recorded without a gap, so that a replay computes the same again. Slots in which the policy took no
step are not ticks; they show as a jump in ``timing/slot``. When the memory is used up, recording ends, and later ticks
are only counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.report.events import EventKind
from dmh_edge.runtime.report.tally import FIGURES, SlotKind, Tally
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.trace import Trace

#: Most memory that a recorder takes, all of it resident from the start: enough for about half an hour at 50 Hz, for a
#: policy with 20 numbers of noise. Use MCAP for a longer run: it needs no such memory.
LARGEST_BYTES = 1 << 24


class TraceRecorder:
    """Records the ticks of one robot in memory.

    Args:
        contract: contract of the policy, which says what a tick consists of.
        most_ticks: largest number of ticks that the run can have; can be infinite. Memory is allocated for as many, but
            for no more than `LARGEST_BYTES`.

    Attributes:
        unrecorded: number of ticks for which there was no room.
    """

    def __init__(self, contract: PolicyContract, most_ticks: float) -> None:
        self.unrecorded = 0
        rows = {
            **{f"world/{spec.name}": spec.zeros(1) for spec in contract.model.world},
            **{f"outputs/{spec.name}": spec.zeros(1) for spec in contract.model.outputs},
            **{f"timing/{name}": np.zeros((), np.int64) for name in FIGURES},
            "timing/ended_ns": np.zeros((), np.int64),
            "timing/boundary": np.zeros((), np.bool_),
            "timing/applied_action": contract.model.tensor("action").zeros(1),
        }
        capacity = int(min(most_ticks, LARGEST_BYTES // sum(row.nbytes for row in rows.values())))
        # np.zeros would be mapped page by page while the loop runs; np.full touches everything now.
        self._columns = {name: np.full((capacity, *row.shape), 0, row.dtype) for name, row in rows.items()}
        self._world = self._group("world")
        self._outputs = self._group("outputs")
        self._ended_ns = self._columns["timing/ended_ns"]
        self._figures = [self._columns[f"timing/{name}"] for name in FIGURES]
        self._capacity = capacity
        self._ticks = 0
        self._weights_sha256 = contract.provenance.weights_sha256
        self._initial_state: Arrays = {}
        self._final_state: Arrays | None = None

    def begin(self, session: Session) -> None:
        """Keep the state before the first tick."""
        self._initial_state = session.state()

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """Copy the inputs and outputs of a step. A proposal that is not committed is overwritten by the next one.

        Args:
            world: world tensors that the session was fed, by name.
            outputs: outputs of the session, by name.
            boundary: whether a graph ran that does not run on every tick.
            session: the session, whose state is copied once, when the memory is used up.
        """
        if self._ticks < self._capacity:
            for name, column in self._world:
                column[self._ticks] = world[name]
            for name, column in self._outputs:
                column[self._ticks] = outputs[name]
            self._columns["timing/boundary"][self._ticks] = boundary
        elif self._final_state is None:
            self._final_state = session.state()

    def commit(self, figures: Sequence[int], applied: NDArray[Any]) -> None:
        """Keep the proposal, which was adopted.

        Args:
            figures: one per name in `FIGURES`.
            applied: the action as applied, ``[A]`` or ``[]``.
        """
        if self._ticks == self._capacity:
            self.unrecorded += 1
            return
        for column, figure in zip(self._figures, figures, strict=True):
            column[self._ticks] = figure
        self._columns["timing/applied_action"][self._ticks, 0] = applied
        self._ticks += 1

    def slot(
        self,
        now_ns: int,
        kind: SlotKind,  # noqa: ARG002 (this and the next ones are for other recorders)
        figures: Sequence[int],  # noqa: ARG002
        tally: Tally,  # noqa: ARG002
    ) -> None:
        """Note the end of a tick, which ends with its slot; a slot without a tick is not kept."""
        self._end_tick(now_ns)

    def event(self, kind: EventKind, detail: str) -> None:
        """Do nothing: the report keeps the events, not the trace."""

    def end(self, now_ns: int) -> None:
        """Note the end of the last tick."""
        self._end_tick(now_ns)

    def _end_tick(self, now_ns: int) -> None:
        if self._ticks and not self._ended_ns[self._ticks - 1]:
            self._ended_ns[self._ticks - 1] = now_ns

    def trace(self, session: Session) -> Trace:
        """The trace of everything that was recorded."""
        return Trace(
            weights_sha256=self._weights_sha256,
            **{
                group: {name: column[: self._ticks] for name, column in self._group(group)}
                for group in ("world", "outputs", "timing")
            },
            initial_state=self._initial_state,
            final_state=session.state() if self._final_state is None else self._final_state,
            unrecorded=self.unrecorded,
        )

    def _group(self, group: str) -> list[tuple[str, NDArray[Any]]]:
        prefix = f"{group}/"
        return [
            (name.removeprefix(prefix), column) for name, column in self._columns.items() if name.startswith(prefix)
        ]
