"""Reads a run from its MCAP file, whole or cut off anywhere, as traces that can be replayed.

A stretch is a row of steps without a gap that begins with a step whose state is recorded. Steps between a gap and the
next recorded state cannot be replayed; they are counted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Attachment, Channel, Message, Metadata
from mcap.stream_reader import StreamReader
from numpy.typing import NDArray

from dmh_edge.contract import CONTRACT_NAME, PolicyContract
from dmh_edge.errors import ArtifactError
from dmh_edge.runtime.records.mcap_schema import EVENT_TOPIC, STATE_TOPIC, TICK_TOPIC, Codec
from dmh_edge.runtime.records.mcap_write import METADATA_NAME
from dmh_edge.schema import parse
from dmh_edge.trace import Trace

#: The columns of a step, as `Codec.read_tick` returns them, or the tensors of a state.
Columns = dict[str, NDArray[Any]]


@dataclass
class McapFile:
    """The content of a file.

    Attributes:
        contract: contract of the policy.
        metadata: metadata of the run, by name.
        ticks: columns of each step, by the step's number.
        states: the policy's state before a step, by the step's number.
        events: kind and text of each event, in order.
        is_finished: whether the file has its end; a file without it was cut off.
    """

    contract: PolicyContract
    metadata: dict[str, str] = field(default_factory=dict)
    ticks: dict[int, Columns] = field(default_factory=dict)
    states: dict[int, Columns] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)
    is_finished: bool = False

    @classmethod
    def load(cls, path: Path) -> McapFile:
        """Read a file as far as it is whole.

        Raises:
            ArtifactError: it cannot be read, or contains no contract.
        """
        file: McapFile | None = None
        metadata: dict[str, str] = {}
        topics: dict[int, str] = {}
        is_finished = False
        try:
            with path.open("rb") as stream:
                for record in _records(StreamReader(stream, validate_crcs=True)):
                    if record is None:
                        is_finished = True
                    elif isinstance(record, Attachment) and record.name == CONTRACT_NAME:
                        contract = parse(PolicyContract, record.data.decode(), f"{CONTRACT_NAME} in {path}")
                        file, codec = cls(contract), Codec(contract)
                    elif isinstance(record, Metadata) and record.name == METADATA_NAME:
                        metadata = record.metadata
                    elif isinstance(record, Channel):
                        topics[record.id] = record.topic
                    elif isinstance(record, Message) and file is not None:
                        file._take(codec, topics.get(record.channel_id, ""), record.data)
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        if file is None:
            raise ArtifactError(f"{path} is not a record of a run: it contains no {CONTRACT_NAME}")
        file.metadata, file.is_finished = metadata, is_finished
        return file

    def _take(self, codec: Codec, topic: str, data: bytes) -> None:
        if topic == TICK_TOPIC:
            number, columns = codec.read_tick(data)
            self.ticks[number] = columns
        elif topic == STATE_TOPIC:
            number, state = codec.read_state(data)
            self.states[number] = state
        elif topic == EVENT_TOPIC:
            self.events.append(codec.read_event(data))

    def stretches(self) -> list[tuple[int, Trace]]:
        """The number of the first step and the trace of every stretch."""
        found = []
        first: int | None = None
        for number in sorted(self.ticks):
            if first is not None and number - 1 not in self.ticks:
                found.append((first, self._trace(first, self._end(first))))
                first = None
            if first is None and number in self.states:
                first = number
        if first is not None:
            found.append((first, self._trace(first, self._end(first))))
        return found

    def _end(self, first: int) -> int:
        last = first
        while last in self.ticks:
            last += 1
        return last

    def _trace(self, first: int, end: int) -> Trace:
        rows = [self.ticks[number] for number in range(first, end)]
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}

        def group(prefix: str) -> Columns:
            return {name.removeprefix(prefix): stacked[name] for name in stacked if name.startswith(prefix)}

        return Trace(
            weights_sha256=self.contract.provenance.weights_sha256,
            world=group("world/"),
            outputs=group("outputs/"),
            timing=group("timing/") | {"applied_action": stacked["applied"]},
            initial_state=self.states[first],
            final_state=self.states.get(end, {}),
        )


def _records(reader: StreamReader) -> Iterator[Any]:
    """All records that are whole; then None if the file has its end."""
    try:
        yield from reader.records
        yield None
    except (McapError, ValueError, EOFError, struct.error, zlib.error, MemoryError, OverflowError):
        return  # the file was cut off there, or a length was altered and now exceeds the file
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("zstandard", "zstd", "lz4"):
            raise
