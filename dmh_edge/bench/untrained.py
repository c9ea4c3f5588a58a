"""Untrained policies of given sizes, for measuring what does not depend on the weights."""

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
#: What is left when a robot needs a kilohertz.
SMALL = DMHConfig(width=32, chunk=10, subgoal_size=8, memory_layers=1, state_size=8, actor_layers=1, heads=2)


def untrained(name: str, sizes: DMHConfig, folder: Path) -> tuple[DMH, Policy]:
    """A DM-H on Darkroom, as a model and as ONNX files; there is neither a golden trace nor a hash.

    Args:
        name: name of the policy.
        sizes: sizes of the model.
        folder: for the files; made if need be.
    """
    checkpoint = Checkpoint.untrained(sizes, find("darkroom").spec)
    folder.mkdir(parents=True, exist_ok=True)
    return cast("DMH", checkpoint.build()), export_unproved(checkpoint, folder, name)


def exported(sizes: DMHConfig, folder: Path, rate_hz: float, patience_s: float) -> Policy:
    """A DM-H on Darkroom as `dmh-edge export` makes it, proof of parity and golden trace included: `run` takes it.

    Args:
        sizes: sizes of the model.
        folder: for the policy; its checkpoint comes to lie beside it.
        rate_hz: control rate, in place of Darkroom's.
        patience_s: longest hold and greatest age of an observation, in place of Darkroom's.
    """
    limits = {"rate_hz": rate_hz, "max_hold_s": patience_s, "max_observation_age_s": patience_s}
    run = folder.with_name(f"{folder.name}-checkpoint")
    run.mkdir(parents=True, exist_ok=True)
    Checkpoint.untrained(sizes, find("darkroom").spec.model_copy(update=limits)).save(run / CHECKPOINT_NAME)
    return export_policy(run, folder)
