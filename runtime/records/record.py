"""The record of one run on disk, in either format, which can be replayed through any backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.runtime.records.run_records import RECORD_NAME, TRACE_NAME
from dmh_edge.runtime.sessions.replay import Comparison, replay
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import Trace


def record_in(path: Path) -> Path:
    """The record that a path means: the file itself, or the record in the folder of a run.

    Raises:
        ArtifactError: the path does not exist, or the folder contains no record.
    """
    if not path.exists():
        raise ArtifactError(f"{path} does not exist; name the folder of a run, or a record")
    if not path.is_dir():
        return path
    for name in (RECORD_NAME, TRACE_NAME):
        if (path / name).exists():
            return path / name
    raise ArtifactError(
        f"{path} contains neither {RECORD_NAME} nor {TRACE_NAME}; name the folder of a run, or a record"
    )


@dataclass(frozen=True)
class Record:
    """One run that can be replayed.

    Attributes:
        stretches: number of the first tick, and the trace, of every stretch of ticks without a gap; at least one.
        note: what is missing in the record or cannot be replayed, in words; empty when the record is whole.
    """

    stretches: tuple[tuple[int, Trace], ...]
    note: str

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read ``run.mcap``, ``trace.npz`` or a golden trace.

        Raises:
            ArtifactError: it cannot be read, or contains no tick that can be replayed.
        """
        if path.suffix != ".mcap":
            trace = Trace.load(path)
            stretches, note = [(0, trace)] if trace.ticks else [], ""
        else:
            from dmh_edge.runtime.records.mcap_read import McapFile

            file = McapFile.load(path)
            stretches = file.stretches()
            notes = [] if file.is_finished else ["the file was cut off: it may lack the last second of the run"]
            if left := len(file.ticks) - sum(trace.ticks for _, trace in stretches):
                notes.append(f"{left} ticks between a gap and the next recorded state cannot be replayed")
            note = "; ".join(notes)
        if not stretches:
            raise ArtifactError(f"{path} contains no tick that can be replayed")
        return cls(tuple(stretches), note)

    @property
    def batch(self) -> int:
        """Number of robots."""
        return self.stretches[0][1].batch

    def replay(self, session: Session) -> list[Comparison]:
        """Replay every stretch; the session's state is overwritten.

        Raises:
            ContractError: the record belongs to another policy.
        """
        weights = session.contract.provenance.weights_sha256
        compared = []
        for first, trace in self.stretches:
            if trace.weights_sha256 != weights:
                raise ContractError(
                    f"the record belongs to a policy with other weights ({trace.weights_sha256[:12]}..., "
                    f"this one has {weights[:12]}...); name the policy that ran"
                )
            comparison = replay(trace, session)
            comparison.reference = f"ticks {first} to {first + trace.ticks - 1}"
            compared.append(comparison)
        return compared
