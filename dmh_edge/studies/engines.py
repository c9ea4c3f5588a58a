"""Policies as ONNX graphs, without the proof that `dmh-edge export` adds: for trials and for the stop-watch.

The weights of a policy whose state has one size, whatever the length of an episode, are as good for another length.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from dmh_edge.checkpoint import Checkpoint, Header
from dmh_edge.config import DataConfig, RunConfig, TrainingConfig
from dmh_edge.contract import TaskSpec
from dmh_edge.errors import ConfigError
from dmh_edge.export.onnx_files import write_onnx
from dmh_edge.export.pipeline import draft_contract
from dmh_edge.models.build import ModelConfig, build
from dmh_edge.runtime.policy import Policy
from dmh_edge.runtime.sessions.ort import OrtSession


def session(checkpoint: Checkpoint, batch: int = 1) -> OrtSession:
    """The graphs of a policy in ONNX Runtime, for so many robots."""
    model = checkpoint.build()
    with tempfile.TemporaryDirectory() as scratch:  # a graph that is loaded needs its file no more
        folder = Path(scratch)
        contract = draft_contract(checkpoint, folder, checkpoint.header.task.name)
        metadata = {"dmh_edge.format_version": str(contract.format_version), "dmh_edge.policy": contract.name}
        for graph in contract.model.graphs:
            write_onnx(model, contract.model, graph, folder / graph.file, metadata)
        return OrtSession(Policy(folder, contract, ""), batch)


def untrained(config: ModelConfig, spec: TaskSpec) -> Checkpoint:
    """A policy with the weights that training would start from: what a step costs does not depend on them."""
    torch.manual_seed(0)
    run = RunConfig(task=spec.name, model=config, data=DataConfig(), training=TrainingConfig())
    return Checkpoint(Header(step=0, config=run, task=spec, data_sha256=""), build(config, spec).state_dict(), {}, {})


def moved(checkpoint: Checkpoint, spec: TaskSpec) -> Checkpoint:
    """The same weights for another task of the same observations and actions.

    Raises:
        ConfigError: they would not mean the same there.
    """
    header = checkpoint.header
    if header.task == spec:
        return checkpoint
    here, there = (build(header.config.model, task).model_spec() for task in (header.task, spec))
    alike = all(getattr(header.task, part) == getattr(spec, part) for part in ("observation", "action"))
    if here != there or not alike:
        raise ConfigError(
            f"a {header.config.model.kind} trained on {header.task.name} is another model on {spec.name}: what it "
            "observes or does, or the tensors of its state, differ; train it there"
        )
    config = header.config.model_copy(update={"task": spec.name})
    return Checkpoint(
        header.model_copy(update={"task": spec, "config": config}), checkpoint.model, checkpoint.optimizer, {}
    )
