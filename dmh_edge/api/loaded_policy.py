"""Policies as files: loading one to move robots by it, and exporting one from a training run."""

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
    """A policy whose files were all held against their hashes, and the backend that is to run it.

    Attributes:
        folder: where its files are.
        backend: ``ort-cpu``, ``ort-cuda`` or ``tensorrt``.
        checked: the checked files.
    """

    folder: Path
    backend: Backend
    checked: Policy = field(repr=False)

    @property
    def contract(self) -> PolicyContract:
        """What the policy observes, does, was trained for and comes from."""
        return self.checked.contract

    @property
    def sha256(self) -> str:
        """The policy's identity: the digest of its contract, which holds the digests of all other files."""
        return self.checked.sha256

    def self_test(self) -> None:
        """Prove that the backend computes this policy here, as `dmh-edge run` does before it arms a robot.

        Raises:
            ParityError: the backend computes something else than the trained model did.
            BackendError, MissingExtraError: the backend cannot run the policy here.
        """
        session = session_for(self.checked, self.backend)
        try:
            self.checked.self_test(session)
        finally:
            session.close()

    def agent(self, robots: int = 1, seed: int = 0, deterministic: bool = False) -> PolicyAgent:
        """Open the policy for some robots, which have learned nothing yet.

        Args:
            robots: number of robots N that one call of `PolicyAgent.act` moves.
            seed: seed of the noise that explores.
            deterministic: choose the likeliest action, without noise.

        Raises:
            ConfigError: the number of robots is below 1.
            BackendError, MissingExtraError, ContractError: the backend cannot run the policy here, or not for so many.
        """
        if robots < 1:
            raise ConfigError(f"robots: got {robots}, expected at least 1")
        session = session_for(self.checked, self.backend, robots)
        return PolicyAgent(session, self.sha256, None if deterministic else seed)


def load(engine: str | PathLike[str], backend: str | None = None) -> LoadedPolicy:
    """Load an exported policy; nothing of it runs before every file was held against its hash.

    Args:
        engine: a folder made by export, or an engine file in it: an ``.onnx`` or a ``.plan`` file.
        backend: ``ort-cpu``, ``ort-cuda`` or ``tensorrt``; None for the one that the suffix suggests. A folder means
            its ``.onnx`` files.

    Raises:
        ArtifactError: a file is missing, truncated or altered.
        ContractError: the contract is malformed or of another version.
        ConfigError: there is no such backend, or it cannot run such a file.
    """
    folder, chosen = locate(Path(engine), backend)
    policy = Policy.load(folder)
    if chosen == "tensorrt":
        policy.engines()  # holds the plans against their hashes too
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
    """Turn a training run into a policy that a robot can run, proved equal to the trained model.

    Args:
        training_run: folder of a training run, or its checkpoint file.
        out: folder of the policy, which appears when everything in it is proved; an older one is replaced.
        precision: element type of the matrix products.
        trt: whether to build TensorRT plans beside the ONNX files.
        trt_targets: GPU architectures of the plans, e.g. ``sm89``; none means what `export.plans.build_plans` chooses.
        say: told what is being done.
        progress: told name, ticks done and ticks in all of each parity rollout.

    Returns:
        the policy, loaded to run on ONNX Runtime on the CPU.

    Raises:
        MissingExtraError: torch or another package of the extra ``export`` is not installed.
        ArtifactError: the checkpoint is missing or altered, or the folder cannot be written.
        ExportError: a graph cannot be exported or built, or does not compute what the model computes.
    """
    require("exporting a run", "export", "torch", "safetensors", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge.export import pipeline

    policy = pipeline.export_policy(Path(training_run), Path(out), precision, trt, tuple(trt_targets), say, progress)
    return LoadedPolicy(policy.folder, "ort-cpu", policy)
