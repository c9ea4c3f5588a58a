"""Policies in ONNX Runtime without the proof that `dmh-edge export` adds: for trials and for the stop-watch.

If the size of a policy's state does not depend on the length of an episode, its weights also serve other lengths.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dmh_edge.checkpoint import Checkpoint
from dmh_edge.errors import ConfigError
from dmh_edge.export.pipeline import export_unproved
from dmh_edge.models.build import build
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.task import TaskSpec


def session(checkpoint: Checkpoint, batch: int = 1) -> OrtSession:
    """Open the graphs of a policy in ONNX Runtime, for ``batch`` robots."""
    with tempfile.TemporaryDirectory() as scratch:  # a loaded graph does not need its file any more
        return OrtSession(export_unproved(checkpoint, Path(scratch), checkpoint.header.task.name), batch)


def moved(checkpoint: Checkpoint, spec: TaskSpec) -> Checkpoint:
    """Return the same weights for another task with the same observations and actions.

    Raises:
        ConfigError: the weights would be another model on that task.
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
