"""The records that the loop publishes about its slots, with fields that follow from the policy's contract.

    kind              TICK: a step of the policy; SLOT: a turn without a step; EVENT: something that happened
    time_ns           when it was published, CLOCK_MONOTONIC
    tick              number of the step, from 0; for a record that is not a step, number of the next step
    figures           one per name in `tally.FIGURES`
    counts            one per name in `COUNTS`, as of the previous slot
    episode_return    sum of the rewards of the current episode
    world/<name>      [1, ...]   inputs of the policy      (from here to boundary: steps only)
    outputs/<name>    [1, ...]   outputs of the policy
    state/<name>      [1, ...]   small state that slow graphs set, e.g. the current sub-goal
    applied           [1, ...]   the action as applied
    boundary          whether a slow graph ran
    name, detail      kind and text of an event, UTF-8, cut if they are too long

The policy's whole state is published in a separate ring, from time to time: it is a thousand times as large.
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
#: Names of the run's totals.
COUNTS: Final = ("slots", "ticks", "held_slots", "overruns", "skipped_slots", "episodes")
#: State tensors of at most this many numbers are recorded with every step.
_SMALL: Final = 256
_NAME_BYTES, _DETAIL_BYTES = 16, 192
#: The fields from ``time_ns`` to ``episode_return``, as they lie at the beginning of a record.
NUMBERS: Final = struct.Struct(f"<qq{len(FIGURES)}q{len(COUNTS)}qd")


class Entry:
    """A record in the writer's own memory, while it is filled.

    Args:
        record: type of the record.

    Attributes:
        fields: a view ``[1, ...]`` of each field, by name; numpy copies into it without allocating.
        buffer: the whole record, as bytes.
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
    """The type of a record in the ring of slots."""
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
    """The type of a record in the ring of states: the whole state before step ``tick``, with the schedule's counter."""
    return np.dtype(
        [
            ("time_ns", "<i8"),
            ("tick", "<i8"),
            *(_field(f"state/{spec.name}", spec) for spec in contract.model.state),
            (f"state/{TICKS}", "<i8", (1,)),
        ]
    )


def group(record: np.dtype[Any], prefix: str) -> list[str]:
    """The names of the tensors in a group, e.g. ``world``."""
    start = f"{prefix}/"
    return [name.removeprefix(start) for name in record.names or () if name.startswith(start)]


def _field(name: str, spec: TensorSpec) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    zeros = spec.zeros(1)
    return name, zeros.dtype, zeros.shape
