"""A checkpoint: one safetensors file with everything that is needed to continue a run, or to deploy its policy.

    model.<parameter>                 weights
    optimizer.<parameter>.<moment>    AdamW's moments and step count
    random.<generator>                states of random generators, uint8
    header                            in the file's metadata: version, step, configuration, task, digests

A SHA-256 digest over header and tensors shows whether the file was altered. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dmh_edge.config import DataConfig, RunConfig, TrainingConfig, without_dead_settings
from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.files import write_bytes
from dmh_edge.models.build import ModelConfig, build
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.schema import Spec, differences, parse
from dmh_edge.task import TaskSpec

#: Name of the checkpoint in the folder of a run.
CHECKPOINT_NAME = "checkpoint.safetensors"

Tensors = Mapping[str, Tensor]
_GROUPS = ("model", "optimizer", "random")


class Header(Spec):
    """The description of a checkpoint, stored in the metadata of its file."""

    format_version: Literal[1] = 1
    """Version of this format; it is raised with every change that an older reader would misunderstand."""
    step: int = Field(ge=0)
    """Number of gradient steps so far."""
    config: RunConfig
    """Settings of the run."""
    task: TaskSpec
    """Specification of the task when the run started."""
    data_sha256: str
    """SHA-256 digest of the data set or, for a policy that learned from its own steps, of the task."""
    rounds: dict[int, str] = Field(default_factory=dict)
    """SHA-256 digests of the rounds that the policy played and that are still learned from, by number."""

    @field_validator("config", mode="before")
    @classmethod
    def _without_dead_settings(cls, config: Any) -> Any:
        return without_dead_settings(config)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after some gradient steps.

    Attributes:
        header: settings, task, number of steps and digest of the data.
        model: weights and statistics by parameter name, on the CPU.
        optimizer: optimiser state, named ``<parameter>.<moment>``.
        random: state of each random generator.
    """

    header: Header
    model: Tensors
    optimizer: Tensors
    random: Tensors

    @classmethod
    def untrained(cls, config: ModelConfig, spec: TaskSpec) -> Checkpoint:
        """Return a checkpoint with initial weights, for measurements that do not depend on the weights.

        Torch's random generator is seeded, so that the weights are the same every time.
        """
        torch.manual_seed(0)
        run = RunConfig(task=spec.name, model=config, data=DataConfig(), training=TrainingConfig())
        header = Header(step=0, config=run, task=spec, data_sha256="")
        return cls(header, build(config, spec).state_dict(), {}, {})

    @property
    def weights_sha256(self) -> str:
        """SHA-256 digest of the weights alone: two runs with equal weights are the same policy."""
        return _digest("", self.model)

    def require_task(self, spec: TaskSpec) -> None:
        """Refuse a task other than the one that the run was started on.

        Raises:
            ContractError: the task has another name, or has changed since then.
        """
        if spec.name != self.header.task.name:
            raise ContractError(
                f"the checkpoint was trained on task {self.header.task.name!r}, but {spec.name!r} was asked for"
            )
        if changed := ", ".join(differences(self.header.task, spec)):
            raise ContractError(
                f"task {spec.name!r} has changed since the checkpoint was trained: {changed}; "
                "train again, or go back to the data or the dmh-edge that it was trained with"
            )

    def build(self) -> PolicyModel:
        """Return the policy with these weights, in evaluation mode, on the CPU.

        Raises:
            ContractError: the weights do not fit the configuration.
        """
        model = build(self.header.config.model, self.header.task)
        self.load_into(model)
        return model.eval()

    def load_into(self, model: PolicyModel) -> None:
        """Load these weights into a model.

        Raises:
            ContractError: the weights do not fit the model.
        """
        try:
            model.load_state_dict(dict(self.model))
        except RuntimeError as error:
            raise ContractError(
                f"the checkpoint's weights do not fit the model: {' '.join(str(error).split())} "
                "Train again, or use the dmh-edge that trained it"
            ) from error

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or the disk is full. What was there before stays.
        """
        header, tensors = self.header.model_dump_json(), self._named()
        write_bytes(path, save(tensors, {"header": header, "sha256": _digest(header, tensors)}))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint, from its file or from the folder of its run.

        Raises:
            ArtifactError: the file is missing, truncated or altered.
            ContractError: the file has another format version, or a field of its header is missing, malformed or
                unknown.
        """
        file = path / CHECKPOINT_NAME if path.is_dir() else path
        if not file.exists():
            raise ArtifactError(f"there is no checkpoint at {file}; make one with: dmh-edge train TASK --out {path}")
        try:
            with safe_open(file, "pt") as content:
                metadata = content.metadata() or {}
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError) as error:
            raise ArtifactError(
                f"{file} is not a checkpoint, or is truncated ({error}); restore it from a copy, or train again"
            ) from error
        if not {"header", "sha256"} <= metadata.keys():
            raise ArtifactError(f"{file} is not a checkpoint of dmh-edge: its metadata have no header and digest")
        header = parse(Header, metadata["header"], f"{file}, header")
        if metadata["sha256"] != _digest(metadata["header"], tensors):
            raise ArtifactError(f"{file} was altered: its digest differs; restore it from a copy, or train again")
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
        return cls(header, **groups)

    def _named(self) -> dict[str, Tensor]:
        return {
            f"{group}.{name}": tensor.detach().cpu().contiguous()
            for group in _GROUPS
            for name, tensor in getattr(self, group).items()
        }


def _digest(header: str, tensors: Tensors) -> str:
    """Return the SHA-256 over a header and every tensor's name, type, shape and bytes, in hexadecimal."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
