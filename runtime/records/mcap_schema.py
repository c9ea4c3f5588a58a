"""A run as protobuf messages: schemas made from the contract, so that a viewer shows every number by name.

    /tick     dmh_edge.Tick      a step of the policy: inputs, wished and applied action, noise, sub-goal, timing
    /slot     dmh_edge.Slot      a turn without a step
    /event    foxglove.Log       faults, turning points such as arming, slots that passed, ends of episodes, the stop
    /state    dmh_edge.State     the policy's whole state before a step, for a replay

A step is one message, so that a file that ends anywhere never contains half a step. Elements of observation and action
are fields with their own names; other tensors are numbers, or lists of numbers in C order. The file contains the
descriptors. Numbers are exact, so that a replay gets the same inputs as the policy did.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from numpy.typing import NDArray

from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.records.layout import COUNTS, group, slot_dtype
from dmh_edge.runtime.report.events import EventKind
from dmh_edge.runtime.report.tally import FIGURES
from dmh_edge.runtime.sessions.session import Arrays
from dmh_edge.task import ContinuousAction, names_of

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES: Final = {
    "float32": _Field.TYPE_FLOAT,
    "float16": _Field.TYPE_FLOAT,
    "float64": _Field.TYPE_DOUBLE,
    "int64": _Field.TYPE_INT64,
    "bool": _Field.TYPE_BOOL,
}
#: Levels of foxglove.Log.
_LEVELS: Final[dict[EventKind, int]] = {"moment": 2, "episode": 2, "overrun": 3, "fault": 3, "stop": 2}
_LOG_LEVELS: Final = ("UNKNOWN", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL")
TICK_TOPIC, SLOT_TOPIC, EVENT_TOPIC, STATE_TOPIC = "/tick", "/slot", "/event", "/state"


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a step: its column in a record, its field in a message, and its format there."""

    column: str
    field: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    elements: tuple[str, ...]  # names of its numbers; empty for a plain number or list

    @property
    def is_list(self) -> bool:
        return not self.elements and bool(np.prod(self.shape, dtype=int) != 1)


class Codec:
    """Encodes and decodes the records of one policy.

    Attributes:
        topics: name of each topic's message, by topic.
    """

    topics: Final = {
        TICK_TOPIC: "dmh_edge.Tick",
        SLOT_TOPIC: "dmh_edge.Slot",
        EVENT_TOPIC: "foxglove.Log",
        STATE_TOPIC: "dmh_edge.State",
    }

    def __init__(self, contract: PolicyContract) -> None:
        self._tensors = _tensors(contract)
        own = _own_file(self._tensors)
        self._files = {"dmh_edge": [own], "foxglove": [_timestamp_file(), _log_file()]}
        pool = descriptor_pool.DescriptorPool()
        for files in self._files.values():
            for file in files:
                pool.Add(file)
        classes = {
            topic: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
            for topic, name in self.topics.items()
        }
        self._tick, self._slot, self._log, self._state = (
            classes[topic] for topic in (TICK_TOPIC, SLOT_TOPIC, EVENT_TOPIC, STATE_TOPIC)
        )

    def schema(self, topic: str) -> bytes:
        """The descriptors of a topic's messages, as MCAP requires: a FileDescriptorSet."""
        package = self.topics[topic].partition(".")[0]
        descriptors: bytes = descriptor_pb2.FileDescriptorSet(file=self._files[package]).SerializeToString()
        return descriptors

    def tick(self, record: Any) -> bytes:
        """Encode a step, from a record of the ring."""
        message = self._tick(tick=int(record["tick"]), episode_return=float(record["episode_return"]))
        for tensor in self._tensors:
            numbers = record[tensor.column].reshape(-1).tolist()
            if tensor.elements:
                part = getattr(message, tensor.field)
                for element, number in zip(tensor.elements, numbers, strict=True):
                    setattr(part, element, number)
                part.SetInParent()
            elif tensor.is_list:
                getattr(message, tensor.field).extend(numbers)
            else:
                setattr(message, tensor.field, numbers[0])
        timing = message.timing
        for name, figure in zip(FIGURES, record["figures"].tolist(), strict=True):
            setattr(timing, name, figure)
        timing.boundary = bool(record["boundary"])
        data: bytes = message.SerializeToString()
        return data

    def read_tick(self, data: bytes) -> tuple[int, dict[str, NDArray[Any]]]:
        """Decode a step: its number, and its tensors by column (``world/...``, ``timing/...``), as recorded."""
        message = self._tick.FromString(data)
        columns = {}
        for tensor in self._tensors:
            value = getattr(message, tensor.field)
            numbers = [getattr(value, element) for element in tensor.elements] if tensor.elements else value
            columns[tensor.column] = np.array(numbers, tensor.dtype).reshape(tensor.shape)
        for name in FIGURES:
            columns[f"timing/{name}"] = np.array(getattr(message.timing, name), np.int64)
        columns["timing/boundary"] = np.array(message.timing.boundary)
        return message.tick, columns

    def slot(self, record: Any) -> bytes:
        """Encode a turn without a step, from a record of the ring."""
        figures = dict(zip(FIGURES, record["figures"].tolist(), strict=True))
        data: bytes = self._slot(
            tick=int(record["tick"]),
            slot=figures["slot"],
            lateness_ns=figures["lateness_ns"],
            total_ns=figures["total_ns"],
            held_slots=int(record["counts"][COUNTS.index("held_slots")]),
        ).SerializeToString()
        return data

    def event(self, kind: EventKind, detail: str, epoch_ns: int) -> bytes:
        """Encode an event as a line of a log."""
        message = self._log(level=_LEVELS[kind], message=detail, name=kind)
        message.timestamp.seconds, message.timestamp.nanos = divmod(epoch_ns, 1_000_000_000)
        data: bytes = message.SerializeToString()
        return data

    def state(self, tick: int, tensors: Arrays) -> bytes:
        """Encode the state before a step: raw numbers, little-endian."""
        message = self._state(tick=tick)
        for name, array in tensors.items():
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            message.tensors.add(name=name, dtype=array.dtype.name, shape=array.shape, data=little.tobytes())
        data: bytes = message.SerializeToString()
        return data

    def read_state(self, data: bytes) -> tuple[int, dict[str, NDArray[Any]]]:
        """Decode a state: the number of the next step, and the tensors by name."""
        message = self._state.FromString(data)
        tensors = {}
        for tensor in message.tensors:
            dtype = np.dtype(tensor.dtype)
            flat = np.frombuffer(tensor.data, dtype.newbyteorder("<"))
            tensors[tensor.name] = flat.astype(dtype).reshape(tuple(tensor.shape))
        return message.tick, tensors

    def read_event(self, data: bytes) -> tuple[str, str]:
        """Decode an event: its kind, and its text."""
        message = self._log.FromString(data)
        return message.name, message.message


def _tensors(contract: PolicyContract) -> list[_Tensor]:
    """All tensors of a step, in the order of their fields."""
    record = slot_dtype(contract)
    task = contract.task
    observed = names_of(task.observation)
    done = names_of(task.action.elements) if isinstance(task.action, ContinuousAction) else ()
    named = {"observation": observed, "previous_action": done, "action_wished": done, "action_applied": done}
    columns = [
        *((f"world/{name}", name) for name in group(record, "world")),
        *((f"outputs/{name}", "action_wished" if name == "action" else name) for name in group(record, "outputs")),
        ("applied", "action_applied"),
        *((f"state/{name}", name) for name in group(record, "state")),
    ]
    fields = _identifiers([field for _, field in columns])
    found = []
    for (column, field), identifier in zip(columns, fields, strict=True):
        shape = record[column].shape
        elements = named.get(field, ())
        if len(elements) != int(np.prod(shape, dtype=int)):  # e.g. a policy that observes more than the task's elements
            elements = ()
        found.append(_Tensor(column, identifier, record[column].base, shape, _identifiers(elements)))
    return found


def _identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """Make names valid for protobuf, and unique."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if re.match(r"[A-Za-z]", plain) else f"n{plain}"
        number = 2
        unique = plain
        while unique in found:
            unique, number = f"{plain}_{number}", number + 1
        found.append(unique)
    return tuple(found)


def _own_file(tensors: Sequence[_Tensor]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="dmh_edge.proto", package="dmh_edge", syntax="proto3")
    tick = file.message_type.add(name="Tick")
    _add(tick, "tick", _Field.TYPE_INT64)
    _add(tick, "episode_return", _Field.TYPE_DOUBLE)
    _add(tick, "timing", _Field.TYPE_MESSAGE, kind=".dmh_edge.Tick.Timing")
    timing = tick.nested_type.add(name="Timing")
    for name in FIGURES:
        _add(timing, name, _Field.TYPE_INT64)
    _add(timing, "boundary", _Field.TYPE_BOOL)
    for tensor in tensors:
        if tensor.elements:
            kind = "".join(part.capitalize() for part in tensor.field.split("_"))
            part = tick.nested_type.add(name=kind)
            for element in tensor.elements:
                _add(part, element, _TYPES[tensor.dtype.name])
            _add(tick, tensor.field, _Field.TYPE_MESSAGE, kind=f".dmh_edge.Tick.{kind}")
        else:
            _add(tick, tensor.field, _TYPES[tensor.dtype.name], repeated=tensor.is_list)
    slot = file.message_type.add(name="Slot")
    for name in ("tick", "slot", "lateness_ns", "total_ns", "held_slots"):
        _add(slot, name, _Field.TYPE_INT64)
    state = file.message_type.add(name="State")
    _add(state, "tick", _Field.TYPE_INT64)
    _add(state, "tensors", _Field.TYPE_MESSAGE, repeated=True, kind=".dmh_edge.State.Tensor")
    one = state.nested_type.add(name="Tensor")
    _add(one, "name", _Field.TYPE_STRING)
    _add(one, "dtype", _Field.TYPE_STRING)
    _add(one, "shape", _Field.TYPE_INT64, repeated=True)
    _add(one, "data", _Field.TYPE_BYTES)
    return file


def _log_file() -> Any:
    """The well-known schema foxglove.Log, which viewers show as a log."""
    file = descriptor_pb2.FileDescriptorProto(
        name="foxglove/Log.proto",
        package="foxglove",
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
    )
    log = file.message_type.add(name="Log")
    levels = log.enum_type.add(name="Level")
    for number, name in enumerate(_LOG_LEVELS):
        levels.value.add(name=name, number=number)
    _add(log, "timestamp", _Field.TYPE_MESSAGE, kind=".google.protobuf.Timestamp")
    _add(log, "level", _Field.TYPE_ENUM, kind=".foxglove.Log.Level")
    _add(log, "message", _Field.TYPE_STRING)
    _add(log, "name", _Field.TYPE_STRING)
    _add(log, "file", _Field.TYPE_STRING)
    _add(log, "line", _Field.TYPE_UINT32)
    return file


def _timestamp_file() -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def _add(message: Any, name: str, type_: int, *, repeated: bool = False, kind: str = "") -> None:
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=len(message.field) + 1, type=type_, label=label)
    if kind:
        field.type_name = kind
