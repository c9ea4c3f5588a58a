"""A policy's folder on disk, checked before anything in it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from dmh_edge.contract import CONTRACT_NAME, GOLDEN_TRACE_NAME, PolicyContract, Precision
from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.files import sha256
from dmh_edge.runtime.sessions.replay import SELF_TEST_TICKS, replay
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import Spec, parse
from dmh_edge.trace import Trace

NOTE_NAME = "model.plan.json"


class EngineNote(Spec):
    """``model.plan.json``: the builder, the target GPUs and the sources of the engines beside it."""

    format_version: Literal[1] = 1
    """Version of this format."""
    builder: Literal["tensorrt", "tensorrt_rtx"]
    """Python package that built the engines; only the same one can run them."""
    builder_version: str
    """Version of that package; only the same version can run them."""
    targets: tuple[str, ...]
    """GPU architectures that the engines were built for, e.g. ``sm89``."""
    precision: Precision
    """Element type of the matrix products."""
    batch_profile: tuple[int, int, int]
    """Smallest, best and largest number of robots."""
    plans: dict[str, str] = Field(min_length=1)
    """SHA-256 of each engine file, by file name."""
    onnx: dict[str, str] = Field(min_length=1)
    """SHA-256 of each ONNX file that an engine was built from, by file name."""

    @classmethod
    def load(cls, folder: Path) -> EngineNote:
        """Read the note beside the engines.

        Raises:
            ContractError: it is malformed or of another version.
            ArtifactError: it is missing.
        """
        path = folder / NOTE_NAME
        try:
            return parse(cls, path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(
                f"{path} cannot be read ({error}); build the engines: dmh-edge export {folder} --trt"
            ) from error


class RunnablePolicy(Protocol):
    """What a run needs from a policy besides its session; see `Policy` and `sessions.fake_session.FakePolicy`."""

    @property
    def sha256(self) -> str:
        """The policy's identity; what the policy learned in context is bound to it."""
        ...

    def self_test(self, session: Session) -> None:
        """Check that a session computes this policy. It is called before anything moves.

        Args:
            session: the session, whose state is overwritten.

        Raises:
            ParityError: the session computes something else.
        """
        ...


@dataclass(frozen=True)
class Policy:
    """A policy whose folder was checked.

    Attributes:
        folder: path of the folder.
        contract: content of ``model.json``.
        sha256: SHA-256 of ``model.json``, which contains the hashes of all other files: the policy's identity.
    """

    folder: Path
    contract: PolicyContract
    sha256: str

    @classmethod
    def load(cls, folder: Path) -> Policy:
        """Read the contract and check every file against its hash.

        Raises:
            ArtifactError: a file is missing, truncated or altered.
            ContractError: the contract is malformed or of another version.
        """
        contract = PolicyContract.load(folder)
        wanted = {GOLDEN_TRACE_NAME, *(graph.file for graph in contract.model.graphs)}
        if set(contract.files) != wanted or any(Path(name).name != name for name in wanted):
            raise ContractError(
                f"{folder / CONTRACT_NAME}: it has hashes of {sorted(contract.files)}, expected one of each of "
                f"{sorted(wanted)}, all in the folder itself; export the policy again"
            )
        for name, expected in contract.files.items():
            check_hash(folder / name, expected)
        return cls(folder, contract, sha256(folder / CONTRACT_NAME))

    def golden_trace(self) -> Trace:
        """The trace that the reference computed when the policy was exported."""
        return Trace.load(self.folder / GOLDEN_TRACE_NAME)

    def self_test(self, session: Session) -> None:
        """Replay the beginning of the golden trace; see `RunnablePolicy`."""
        replay(self.golden_trace(), session, SELF_TEST_TICKS).require()

    @property
    def has_engines(self) -> bool:
        """Whether TensorRT plans were built."""
        return (self.folder / NOTE_NAME).exists()

    def engines(self) -> EngineNote:
        """The note of the TensorRT engines. Each engine is checked against its hash before it can be deserialised.

        Raises:
            ArtifactError: an engine or the note is missing, altered, or built from other ONNX files than these.
        """
        note = EngineNote.load(self.folder)
        for graph in self.contract.model.graphs:
            if note.onnx.get(graph.file) != self.contract.files[graph.file]:
                raise ArtifactError(
                    f"{graph.engine_file} was built from another {graph.file}; "
                    f"build it again: dmh-edge export {self.folder} --trt"
                )
            if graph.engine_file not in note.plans:
                raise ArtifactError(f"{self.folder / NOTE_NAME} has no {graph.engine_file}; build the engines again")
            check_hash(self.folder / graph.engine_file, note.plans[graph.engine_file])
        return note


def check_hash(path: Path, expected: str) -> None:
    """Refuse a file that differs from the one that was written.

    Raises:
        ArtifactError: it is missing, truncated or altered.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} is missing; copy the whole folder, or export the policy again")
    if (got := sha256(path)) != expected:
        raise ArtifactError(
            f"{path} is truncated or altered: SHA-256 is {got[:12]}..., expected {expected[:12]}...; "
            "copy it again, or export the policy again"
        )
