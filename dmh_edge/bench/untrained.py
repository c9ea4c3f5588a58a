"""Untrained policies of given sizes, for measurements that do not depend on the weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.export.pipeline import export_policy, export_unproved
from dmh_edge.models.dmh import DMH
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.tasks import find

#: The paper's sizes.
PAPER = DMHConfig(chunk=20)
#: Sizes that are small enough for a control rate of 1 kHz.
SMALL = DMHConfig(width=32, chunk=10, subgoal_size=8, memory_layers=1, state_size=8, actor_layers=1, heads=2)


def untrained(name: str, sizes: DMHConfig, folder: Path) -> tuple[DMH, Policy]:
    """Make a DM-H for Darkroom, as a model and as ONNX files, without a golden trace and without hashes.

    Args:
        name: name of the policy.
        sizes: sizes of the model.
        folder: folder for the files; created if it does not exist.
    """
    checkpoint = Checkpoint.untrained(sizes, find("darkroom").spec)
    folder.mkdir(parents=True, exist_ok=True)
    return cast("DMH", checkpoint.build()), export_unproved(checkpoint, folder, name)


def exported(sizes: DMHConfig, folder: Path, rate_hz: float, patience_s: float) -> Policy:
    """Export a DM-H for Darkroom as `dmh-edge export` does, with parity figures and golden trace: `run` accepts it.

    Args:
        sizes: sizes of the model.
        folder: folder for the policy; the checkpoint is written beside it.
        rate_hz: control rate in Hz, in place of Darkroom's.
        patience_s: longest hold and greatest age of an observation, in seconds, in place of Darkroom's.
    """
    limits = {"rate_hz": rate_hz, "max_hold_s": patience_s, "max_observation_age_s": patience_s}
    run = folder.with_name(f"{folder.name}-checkpoint")
    run.mkdir(parents=True, exist_ok=True)
    Checkpoint.untrained(sizes, find("darkroom").spec.model_copy(update=limits)).save(run / CHECKPOINT_NAME)
    return export_policy(run, folder)
