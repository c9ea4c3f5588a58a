"""Untrained policies of given sizes, for measuring what does not depend on the weights."""

from __future__ import annotations

from pathlib import Path

import torch

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint, Header
from dmh_edge.config import DataConfig, RunConfig, TrainingConfig
from dmh_edge.contract import TaskSpec
from dmh_edge.export.onnx_files import write_onnx
from dmh_edge.export.pipeline import draft_contract, export_policy
from dmh_edge.models.dmh import DMH
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.runtime.policy import Policy
from dmh_edge.tasks import find

#: The paper's sizes.
PAPER = DMHConfig(chunk=20)
#: What is left when a robot needs a kilohertz.
SMALL = DMHConfig(width=32, chunk=10, subgoal_size=8, memory_layers=1, state_size=8, actor_layers=1, heads=2)


def untrained(name: str, sizes: DMHConfig, folder: Path) -> tuple[DMH, Policy]:
    """A DM-H on Darkroom, as a model and as ONNX files; there is neither a golden trace nor a hash.

    Args:
        name: of the policy.
        sizes: of the model.
        folder: for the files; made if need be.
    """
    model, checkpoint = _checkpoint(sizes, find("darkroom").spec, folder)
    contract = draft_contract(checkpoint, folder, name)
    metadata = {"dmh_edge.format_version": "1", "dmh_edge.policy": name}
    for graph in contract.model.graphs:
        write_onnx(model, contract.model, graph, folder / graph.file, metadata)
    return model, Policy(folder, contract, "")


def exported(sizes: DMHConfig, folder: Path, rate_hz: float, patience_s: float) -> Policy:
    """A DM-H on Darkroom as `dmh-edge export` makes it, proof of parity and golden trace included: `run` takes it.

    Args:
        sizes: of the model.
        folder: for the policy; its checkpoint comes to lie beside it.
        rate_hz: control rate, in place of Darkroom's.
        patience_s: longest hold and greatest age of an observation, in place of Darkroom's.
    """
    limits = {"rate_hz": rate_hz, "max_hold_s": patience_s, "max_observation_age_s": patience_s}
    run = folder.with_name(f"{folder.name}-checkpoint")
    _checkpoint(sizes, find("darkroom").spec.model_copy(update=limits), run)
    return export_policy(run, folder)


def _checkpoint(sizes: DMHConfig, task: TaskSpec, folder: Path) -> tuple[DMH, Checkpoint]:
    """A model, and the checkpoint of it that was written to a folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model = DMH(sizes, task).eval()
    config = RunConfig(task=task.name, model=model.config, data=DataConfig(), training=TrainingConfig())
    checkpoint = Checkpoint(Header(step=0, config=config, task=task, data_sha256=""), model.state_dict(), {}, {})
    checkpoint.save(folder / CHECKPOINT_NAME)
    return model, checkpoint
