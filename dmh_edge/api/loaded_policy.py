"""Load an exported policy to move robots with it, and export a policy from a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from dmh_edge.api.policy_agent import PolicyAgent
from dmh_edge.contract import PolicyContract, Precision
from dmh_edge.errors import ConfigError
from dmh_edge.extras import require
from dmh_edge.progress import Progress, Say, quiet, silent
from dmh_edge.runtime.sessions.engine import Backend, locate, session_for
from dmh_edge.runtime.sessions.policy import Policy


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy whose files were all checked against their hashes, and the backend that is to run it.

    Attributes:
        folder: folder of the policy's files.
        backend: ``ort-cpu``, ``ort-cuda`` or ``tensorrt``.
        checked: the checked files.
    """

    folder: Path
    backend: Backend
    checked: Policy = field(repr=False)

    @property
    def contract(self) -> PolicyContract:
        """The policy's observations, actions and task, and where it comes from."""
        return self.checked.contract

    @property
    def sha256(self) -> str:
        """The policy's identity: the digest of its contract, which holds the digests of all other files."""
        return self.checked.sha256

    def self_test(self) -> None:
        """Check that the backend computes this policy correctly here, as `dmh-edge run` does before it arms a robot.

        Raises:
            ParityError: the backend does not compute what the trained model computed.
            BackendError, MissingExtraError: the backend cannot run the policy here.
        """
        session = session_for(self.checked, self.backend)
        try:
            self.checked.self_test(session)
        finally:
            session.close()

    def agent(self, robots: int = 1, seed: int = 0, deterministic: bool = False) -> PolicyAgent:
        """Open the policy for one or more robots with empty memories.

        Args:
            robots: number of robots N that one call of `PolicyAgent.act` moves.
            seed: seed of the exploration noise.
            deterministic: whether to choose the likeliest action, without noise.

        Raises:
            ConfigError: the number of robots is below 1.
            BackendError, MissingExtraError, ContractError: the backend cannot run the policy here, or not for this
                number of robots.
        """
        if robots < 1:
            raise ConfigError(f"robots: got {robots}, expected at least 1")
        session = session_for(self.checked, self.backend, robots)
        return PolicyAgent(session, self.sha256, None if deterministic else seed)


def load(engine: str | PathLike[str], backend: str | None = None) -> LoadedPolicy:
    """Load an exported policy; nothing of it runs before every file is checked against its hash.

    Args:
        engine: a folder made by export, or an engine file in it: an ``.onnx`` or a ``.plan`` file.
        backend: ``ort-cpu``, ``ort-cuda`` or ``tensorrt``; None for the one that the file's suffix suggests. A folder
            means its ``.onnx`` files.

    Raises:
        ArtifactError: a file is missing, truncated or altered.
        ContractError: the contract is malformed or has another version.
        ConfigError: there is no such backend, or it cannot run a file of this kind.
    """
    folder, chosen = locate(Path(engine), backend)
    policy = Policy.load(folder)
    if chosen == "tensorrt":
        policy.engines()  # checks the plans against their hashes too
    return LoadedPolicy(folder, chosen, policy)


def export_policy(
    training_run: str | PathLike[str],
    out: str | PathLike[str],
    precision: Precision = "float32",
    trt: bool = False,
    trt_targets: Sequence[str] = (),
    say: Say = quiet,
    progress: Progress = silent,
) -> LoadedPolicy:
    """Turn a training run into a policy that a robot can run, and check that it computes the same as the trained model.

    Args:
        training_run: folder of a training run, or its checkpoint file.
        out: folder of the policy; it appears only when every check has passed, and replaces an older one.
        precision: element type of the matrix products.
        trt: whether to build TensorRT plans beside the ONNX files.
        trt_targets: GPU architectures of the plans, e.g. ``sm89``; if empty, `export.plans.build_plans` chooses them.
        say: called with a sentence that says what is being done.
        progress: called with name, ticks done and ticks in all of each parity rollout.

    Returns:
        the policy, loaded to run on ONNX Runtime on the CPU.

    Raises:
        MissingExtraError: torch or another package of the extra ``export`` is not installed.
        ArtifactError: the checkpoint is missing or altered, or the folder cannot be written.
        ExportError: a graph cannot be exported or built, or does not compute the same as the model.
    """
    require("exporting a run", "export", "torch", "safetensors", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge.export import pipeline

    policy = pipeline.export_policy(Path(training_run), Path(out), precision, trt, tuple(trt_targets), say, progress)
    return LoadedPolicy(policy.folder, "ort-cpu", policy)
