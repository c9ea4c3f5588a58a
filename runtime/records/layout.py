"""What the loop tells its readers about a slot: records whose fields follow from the policy's contract.

    kind              TICK: a step of the policy; SLOT: a turn without one; EVENT: something that happened
    time_ns           when it was published, CLOCK_MONOTONIC
    tick              number of the step, from 0; of the next one, for a record that is no step
    figures           one per name in `tally.FIGURES`
    counts            one per name in `COUNTS`, as of the slot before
    episode_return    rewards of the episode under way
    world/<name>      [1, ...]   what went in         (steps only, as all that follows)
    outputs/<name>    [1, ...]   what came out
    state/<name>      [1, ...]   what slow graphs set and is small, e.g. the sub-goal in force
    applied           [1, ...]   the action as applied
    boundary          whether a slow graph ran
    name, detail      of an event, UTF-8, cut where there is no more room

The policy's whole state travels in a ring of its own, now and then: it is a thousand times as large.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import PolicyContract, TensorSpec
from dmh_edge.runtime.report.tally import FIGURES
from dmh_edge.runtime.sessions.schedule import TICKS

TICK, SLOT, EVENT = range(3)
#: Totals of the run.
COUNTS: Final = ("slots", "ticks", "held_slots", "overruns", "skipped_slots", "episodes")
#: State tensors up to so many numbers travel with every step.
_SMALL: Final = 256
_NAME_BYTES, _DETAIL_BYTES = 16, 192
#: From ``time_ns`` to ``episode_return``, as they lie at the beginning of a record.
NUMBERS: Final = struct.Struct(f"<qq{len(FIGURES)}q{len(COUNTS)}qd")


class Entry:
    """A record that is being filled, in the writer's own memory.

    Args:
        record: its fields.

    Attributes:
        fields: a view ``[1, ...]`` per field; numpy copies into it without allocating.
        buffer: all of it, as bytes.
    """

    def __init__(self, record: np.dtype[Any]) -> None:
        array = np.zeros(1, record)
        self.fields: dict[str, NDArray[Any]] = {name: array[name] for name in record.names or ()}
        self.buffer: memoryview = array.view(np.uint8).data


def small_state(contract: PolicyContract) -> tuple[TensorSpec, ...]:
    """State tensors that change only when a slow graph runs, and are small enough to be recorded with every step."""
    slow = {name for graph in contract.model.graphs if graph.every > 1 for name in graph.writes}
    return tuple(spec for spec in contract.model.state if spec.name in slow and spec.zeros(1).size <= _SMALL)


def slot_dtype(contract: PolicyContract) -> np.dtype[Any]:
    """A record of the ring of slots."""
    model = contract.model
    return np.dtype(
        [
            ("time_ns", "<i8"),
            ("tick", "<i8"),
            ("figures", "<i8", (len(FIGURES),)),
            ("counts", "<i8", (len(COUNTS),)),
            ("episode_return", "<f8"),
            *(_field(f"world/{spec.name}", spec) for spec in model.world),
            *(_field(f"outputs/{spec.name}", spec) for spec in model.outputs),
            *(_field(f"state/{spec.name}", spec) for spec in small_state(contract)),
            _field("applied", model.tensor("action")),
            ("kind", "u1"),
            ("boundary", "?"),
            ("name", f"S{_NAME_BYTES}"),
            ("detail", f"S{_DETAIL_BYTES}"),
        ]
    )


def state_dtype(contract: PolicyContract) -> np.dtype[Any]:
    """A record of the ring of states: the whole state before step ``tick``, with the schedule's counter."""
    return np.dtype(
        [
            ("time_ns", "<i8"),
            ("tick", "<i8"),
            *(_field(f"state/{spec.name}", spec) for spec in contract.model.state),
            (f"state/{TICKS}", "<i8", (1,)),
        ]
    )


def group(record: np.dtype[Any], prefix: str) -> list[str]:
    """Names of the tensors of a group, e.g. of ``world``."""
    start = f"{prefix}/"
    return [name.removeprefix(start) for name in record.names or () if name.startswith(start)]


def _field(name: str, spec: TensorSpec) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    zeros = spec.zeros(1)
    return name, zeros.dtype, zeros.shape
