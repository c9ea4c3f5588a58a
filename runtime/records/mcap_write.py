"""A run as an MCAP file that a viewer opens, and that loses no more than its last moments when everything is killed.

The contract is an attachment at its beginning, and what else must be known is metadata. Chunks are small and reach the
operating system whole: where the disk is full a chunk waits in memory, and the file still ends with a whole one.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast

from mcap.writer import Writer
from typing_extensions import Self

from dmh_edge.contract import CONTRACT_NAME, PolicyContract
from dmh_edge.errors import ArtifactError
from dmh_edge.runtime.records.layout import EVENT, TICK, group
from dmh_edge.runtime.records.mcap_schema import EVENT_TOPIC, SLOT_TOPIC, STATE_TOPIC, TICK_TOPIC, Codec
from dmh_edge.runtime.report.events import EventKind

#: Size of a chunk before compression.
_CHUNK_BYTES: Final = 16 * 1024
#: So much waits for a disk that is full; then recording is given up.
_MOST_WAITING: Final = 8 << 20
METADATA_NAME: Final = "dmh-edge"


class McapWriter:
    """Writes one run. Enter it; leaving it finishes the file.

    Args:
        path: must not exist.
        contract: the policy's.
        metadata: what else to know of the run.
        epoch_ns: what to add to a time of CLOCK_MONOTONIC for nanoseconds since 1970.

    Attributes:
        kept: steps that have reached the operating system.
        failure: why recording was given up, in words; empty while it was not.

    Raises:
        ArtifactError: the file cannot be made.
    """

    def __init__(self, path: Path, contract: PolicyContract, metadata: dict[str, str], epoch_ns: int) -> None:
        self.kept = 0
        self.failure = ""
        self._epoch_ns = epoch_ns
        self._path = path
        self._ticks = 0
        self._codec = Codec(contract)
        self._output = _Whole(path)
        self._writer = Writer(cast("IO[bytes]", self._output), chunk_size=_CHUNK_BYTES)
        self._writer.start(profile="", library="dmh-edge")
        now_ns = int(metadata["started_ns"])
        model = contract.model_dump_json(indent=2).encode()
        self._writer.add_attachment(now_ns, now_ns, CONTRACT_NAME, "application/json", model)
        self._writer.add_metadata(METADATA_NAME, metadata)
        self._channels = {}
        for topic, name in Codec.topics.items():
            schema = self._writer.register_schema(name, "protobuf", self._codec.schema(topic))
            self._channels[topic] = self._writer.register_channel(topic, "protobuf", schema)
        self.flush()
        if self.failure:
            raise ArtifactError(self.failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is left, and the index."""
        if not self.failure:
            self.flush()
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._drain(last=True)
        self._output.close()

    def slot(self, record: Any) -> None:
        """Add a record of the ring of slots."""
        if self.failure:
            return
        time_ns = int(record["time_ns"]) + self._epoch_ns
        if record["kind"] == TICK:
            self._add(TICK_TOPIC, time_ns, self._codec.tick(record))
            self._ticks += 1
        elif record["kind"] == EVENT:
            kind: EventKind = record["name"].decode()
            detail = record["detail"].decode(errors="ignore")  # it may have been cut within a letter
            self._add(EVENT_TOPIC, time_ns, self._codec.event(kind, detail, time_ns))
        else:
            self._add(SLOT_TOPIC, time_ns, self._codec.slot(record))

    def state(self, record: Any) -> None:
        """Add a record of the ring of states."""
        if self.failure:
            return
        tensors = {name: record[f"state/{name}"] for name in group(record.dtype, "state")}
        time_ns = int(record["time_ns"]) + self._epoch_ns
        self._add(STATE_TOPIC, time_ns, self._codec.state(int(record["tick"]), tensors))

    def flush(self) -> None:
        """Hand over all that was added; what the disk has no room for waits, and too much of it is given up."""
        if self.failure:
            return
        self._writer.flush()  # type: ignore[no-untyped-call]
        if self._drain():
            self.kept = self._ticks

    def _add(self, topic: str, time_ns: int, data: bytes) -> None:
        self._writer.add_message(self._channels[topic], time_ns, data, time_ns)

    def _drain(self, *, last: bool = False) -> bool:
        """Hand over what waits; whether it was taken. At the beginning, at the end, and when it is much, it must be."""
        try:
            self._output.drain()
        except OSError as error:
            if last or not self._output.written or self._output.waiting > _MOST_WAITING:
                why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
                self.failure = f"{why}: {self._path} holds {self.kept} ticks, and ends there"
            return False
        return True


class _Whole:
    """An output that hands over everything that waits, or nothing: a write that fails half-way is taken back."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
        self.written = 0
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return len(self._waiting)

    def write(self, data: bytes) -> int:
        """Let it wait."""
        self._waiting += data
        return len(data)

    def tell(self) -> int:
        """Where the next byte will stand."""
        return self.written + len(self._waiting)

    def flush(self) -> None:
        """`drain` decides when."""

    def drain(self) -> None:
        """Hand over what waits.

        Raises:
            OSError: there was no room for all of it, and nothing changed.
        """
        done = 0
        with memoryview(self._waiting) as view:
            try:
                while done < len(view):
                    done += os.pwrite(self._descriptor, view[done:], self.written + done)
            except OSError:
                os.ftruncate(self._descriptor, self.written)
                raise
        self.written += done
        self._waiting.clear()

    def close(self) -> None:
        """Let go; on the disk, not only with the operating system, where that can be had."""
        try:
            os.fsync(self._descriptor)
        except OSError:
            pass  # what could not be written has been said
        os.close(self._descriptor)
