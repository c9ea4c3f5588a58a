"""A run as an MCAP file that a viewer opens; if all processes are killed, it loses only the last moments of the run.

The contract is an attachment at the beginning of the file, and everything else about the run is metadata. Chunks are
small and reach the operating system whole: if the disk is full, a chunk waits in memory, and the file still ends with a
whole chunk.
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
#: Most bytes that wait in memory while the disk is full; with more, recording stops.
_MOST_WAITING: Final = 8 << 20
METADATA_NAME: Final = "dmh-edge"


class McapWriter:
    """Writes one run. Use it in a `with` statement; leaving it finishes the file.

    Args:
        path: path of the file, which must not exist.
        contract: contract of the policy.
        metadata: everything else about the run, by name.
        epoch_ns: difference between nanoseconds since 1970 and CLOCK_MONOTONIC, which is added to each time.

    Attributes:
        kept: number of steps that have reached the operating system.
        failure: why recording stopped early, in words; empty if it did not.

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
        """Write the remaining records, and the index."""
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
            detail = record["detail"].decode(errors="ignore")  # it may have been cut in the middle of a character
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
        """Write everything that was added. If the disk is full it waits; with too much waiting, recording stops."""
        if self.failure:
            return
        self._writer.flush()  # type: ignore[no-untyped-call]
        if self._drain():
            self.kept = self._ticks

    def _add(self, topic: str, time_ns: int, data: bytes) -> None:
        self._writer.add_message(self._channels[topic], time_ns, data, time_ns)

    def _drain(self, *, last: bool = False) -> bool:
        """Write what waits; return whether that succeeded. It must at the beginning, at the end and if much waits."""
        try:
            self._output.drain()
        except OSError as error:
            if last or not self._output.written or self._output.waiting > _MOST_WAITING:
                why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
                self.failure = f"{why}: {self._path} contains {self.kept} ticks, and ends there"
            return False
        return True


class _Whole:
    """An output that writes everything that waits, or nothing: a write that fails half-way is undone."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
        self.written = 0
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        """Number of bytes that wait."""
        return len(self._waiting)

    def write(self, data: bytes) -> int:
        """Add bytes to those that wait."""
        self._waiting += data
        return len(data)

    def tell(self) -> int:
        """Position of the next byte in the file."""
        return self.written + len(self._waiting)

    def flush(self) -> None:
        """Do nothing: only `drain` writes."""

    def drain(self) -> None:
        """Write what waits.

        Raises:
            OSError: not all of it could be written; the file is then unchanged.
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
        """Flush the file to the disk where that is possible, and close it."""
        try:
            os.fsync(self._descriptor)
        except OSError:
            pass  # a failed write has already been reported
        os.close(self._descriptor)
