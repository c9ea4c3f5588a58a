"""The recorder keeps a trace of a run in memory that was laid out before the first tick: a raw copy per tick.

A policy's ticks are recorded without a gap, so that a replay computes the same again; slots in which the policy took no
step are not ticks and show as a jump in ``timing/slot``. When the room is used up, recording ends and what follows is
counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import PolicyContract, TaskSpec
from dmh_edge.errors import ConfigError
from dmh_edge.runtime.changes import Change, Changes
from dmh_edge.runtime.faults import Fault
from dmh_edge.runtime.session import Arrays, Session
from dmh_edge.runtime.tally import SlotKind, Tally
from dmh_edge.trace import Trace

#: A recorder never takes more memory than this, all of it resident from the start: about half an hour at 50 Hz for a
#: policy with 20 numbers of noise. A longer run is for MCAP, which takes none.
LARGEST_BYTES = 1 << 24

#: What is known of a tick's slot: its number, and the time it took for what. ``write_ns`` is that of its action, which
#: under an action delay belongs to the next slot.
FIGURES = ("slot", "lateness_ns", "read_ns", "compute_ns", "write_ns", "total_ns")


@dataclass(frozen=True)
class Limits:
    """When a run ends by itself; without any it goes on until somebody stops it.

    Attributes:
        ticks: steps of the policy.
        episodes: episodes that came to their end.
        duration_s: time since the first slot.

    Raises:
        ConfigError: one of them is not positive.
    """

    ticks: int | None = None
    episodes: int | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("ticks", "episodes", "duration_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name.removesuffix('_s')}: got {value}, expected a positive number")

    def most_ticks(self, task: TaskSpec, rate_hz: float) -> float:
        """How many ticks a run can have; infinite when nothing limits it."""
        ticks = math.inf if self.ticks is None else self.ticks
        episodes = math.inf if self.episodes is None else self.episodes * task.horizon
        slots = math.inf if self.duration_s is None else math.ceil(self.duration_s * rate_hz) + 1
        return min(ticks, episodes, slots)


class Recorder:
    """Records the ticks of one robot in memory.

    Args:
        contract: tells what a tick consists of.
        most_ticks: how many there can be; may be infinite. Room is made for no more than `LARGEST_BYTES` hold.

    Attributes:
        unrecorded: ticks for which there was no room.
    """

    def __init__(self, contract: PolicyContract, most_ticks: float) -> None:
        self.unrecorded = 0
        rows = {
            **{f"world/{spec.name}": spec.zeros(1) for spec in contract.model.world},
            **{f"outputs/{spec.name}": spec.zeros(1) for spec in contract.model.outputs},
            **{f"timing/{name}": np.zeros((), np.int64) for name in FIGURES},
            "timing/boundary": np.zeros((), np.bool_),
            "timing/applied_action": contract.model.tensor("action").zeros(1),
        }
        capacity = int(min(most_ticks, LARGEST_BYTES // sum(row.nbytes for row in rows.values())))
        # np.zeros would be mapped page by page while the loop runs; np.full touches everything now.
        self._columns = {name: np.full((capacity, *row.shape), 0, row.dtype) for name, row in rows.items()}
        self._world = self._group("world")
        self._outputs = self._group("outputs")
        self._figures = [self._columns[f"timing/{name}"] for name in FIGURES]
        self._capacity = capacity
        self._ticks = 0
        self._weights_sha256 = contract.provenance.weights_sha256
        self._initial_state: Arrays = {}
        self._final_state: Arrays | None = None
        self._changes = Changes()

    def begin(self, session: Session) -> None:
        """Keep the state before the first tick."""
        self._initial_state = session.state()

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """Copy what went in and what came out. A proposal that is not committed is overwritten by the next.

        Args:
            world: as the session was fed.
            outputs: as it answered.
            boundary: whether a graph ran that does not run on every tick.
            session: asked once for its state, when the room has been used up.
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
        """The proposal was adopted.

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

    @property
    def changes(self) -> Sequence[Change]:
        """What happened, for the report."""
        return self._changes.kept

    def slot(
        self,
        now_ns: int,
        kind: SlotKind,  # noqa: ARG002 (a slot without a step is no tick)
        figures: Sequence[int],  # noqa: ARG002
        tally: Tally,
        faults: Mapping[Fault, int],
    ) -> None:
        """A slot is over."""
        self._changes.look(now_ns, tally, faults)

    def end(self, now_ns: int, tally: Tally, faults: Mapping[Fault, int]) -> None:
        """The run is over."""
        self._changes.look(now_ns, tally, faults)
        self._changes.stop(now_ns, tally)

    def trace(self, session: Session) -> Trace:
        """Everything that was recorded."""
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
