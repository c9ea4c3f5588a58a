"""From a path to a running session: the folder and the backend that an ``--engine`` means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dmh_edge.errors import ArtifactError, ConfigError, unknown
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.session import Session

BACKENDS = ("ort-cpu", "ort-cuda", "tensorrt")
Backend = Literal["ort-cpu", "ort-cuda", "tensorrt"]


def locate(engine: Path, backend: str | None) -> tuple[Path, Backend]:
    """The folder and the backend that ``--engine`` and ``--backend`` mean.

    A folder or an ``.onnx`` file runs on ONNX Runtime; a plan runs only if the path names it.

    Raises:
        ArtifactError: there is nothing at ``engine``.
        ConfigError: the suffix or the backend is unknown, or they do not fit each other.
    """
    if not engine.exists():
        raise ArtifactError(
            f"{engine} does not exist; name a policy's folder, made by `dmh-edge export`, or a file in it"
        )
    folder, suffix = (engine, ".onnx") if engine.is_dir() else (engine.parent, engine.suffix)
    fitting: dict[str, tuple[Backend, ...]] = {".onnx": ("ort-cpu", "ort-cuda"), ".plan": ("tensorrt",)}
    if suffix not in fitting:
        raise ConfigError(f"{engine}: an engine is a folder, an .onnx or a .plan file, not a {suffix or 'bare'} file")
    for candidate in BACKENDS:
        if backend == candidate:
            if candidate not in fitting[suffix]:
                raise ConfigError(f"--backend {backend} cannot run {engine}; use {' or '.join(fitting[suffix])}")
            return folder, candidate
    if backend is not None:
        raise ConfigError(unknown("backend", backend, BACKENDS))
    return folder, fitting[suffix][0]


def open_session(engine: Path, backend: str | None = None, batch: int = 1) -> tuple[Policy, Session]:
    """Load and check a policy, and open a session on it.

    Args:
        engine: a folder made by export, or an engine file in it.
        backend: name of the backend; None for the default one for the suffix.
        batch: number of robots B.

    Raises:
        ArtifactError, ContractError, ConfigError, BackendError, MissingExtraError: something is wrong; nothing ran yet.
    """
    folder, chosen = locate(engine, backend)
    policy = Policy.load(folder)
    return policy, session_for(policy, chosen, batch)


def session_for(policy: Policy, backend: Backend, batch: int = 1) -> Session:
    """Open a session on a policy that has been checked; see `open_session`."""
    if backend == "tensorrt":
        from dmh_edge.runtime.sessions.tensorrt import TensorRTSession

        return TensorRTSession(policy, batch)
    from dmh_edge.runtime.sessions.ort import OrtSession

    return OrtSession(policy, batch, "cuda" if backend == "ort-cuda" else "cpu")
