"""What a training run is: its model, its data and how it is fitted, written beside the result as `CONFIG_NAME`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from dmh_edge.models.build import ModelConfig
from dmh_edge.schema import Spec

#: Name of the settings' file in the folder of a run.
CONFIG_NAME = "config.json"


def without_dead_settings(content: Any) -> Any:
    """Settings as an earlier version wrote them, without those that have done nothing: ``reward_scale`` of ``bc``.

    Args:
        content: a run's settings, parsed from JSON but not yet checked. Other content passes as it is.
    """
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or model.get("kind") != "bc":
        return content
    return {**content, "model": {name: value for name, value in model.items() if name != "reward_scale"}}


class DataConfig(Spec):
    """How contexts are drawn from the data."""

    batch: int = Field(default=128, ge=1)
    """Contexts per update."""
    episodes_per_context: int = Field(default=4, ge=1)
    """n: episodes of one hidden task in a context, ascending by return."""
    label: Literal["expert", "behaviour"] = "expert"
    """Whose actions are imitated: the expert's, recorded beside those taken, or those taken."""
    target_return: Literal["episode", "context"] = "context"
    """What return-to-go starts from: the episode's own return, or the best of its context."""
    learn: Literal["all", "last"] = "all"
    """Which episodes of a context are imitated; those before the last one are then only read."""
    balance_actions: bool = False
    """Let each choice of action weigh as much in the loss as any other, however rare it is: where one step in a
    thousand decides, the others would drown it."""
    top_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of each hidden task's episodes that is learned from: those of the highest returns."""
    hold_out: int = Field(default=0, ge=0)
    """Hidden tasks of the data that are not learned from, to choose settings on: `dmh-edge eval --tasks validation`."""
    workers: int = Field(default=1, ge=0)
    """Threads that make batches ahead; 0 makes each when it is needed."""


class TrainingConfig(Spec):
    """How the model is fitted."""

    updates: int = Field(default=100_000, ge=1)
    """Gradient steps."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """AdamW's, at its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: stay, or fall along half a cosine to a tenth."""
    warm_up: int = Field(default=1_000, ge=0)
    """Updates over which the learning rate rises linearly."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's."""
    beta2: float = Field(default=0.999, gt=0, lt=1)
    """AdamW's memory of squared gradients. Where one step in a thousand matters, those of the first updates must be
    forgotten soon."""
    clip_norm: float = Field(default=0.25, gt=0)
    """Largest norm of the gradient; a larger one is scaled down."""
    seed: int = Field(default=0, ge=0)
    """Of initial weights, batches, dropout and noise."""
    log_every: int = Field(default=10, ge=1)
    """Updates per row of the logs; a row holds means over them."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Updates between checkpoints; a multiple of ``log_every``."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; ``auto`` takes a CUDA device where there is one."""
    autocast: Literal["auto", "off", "bfloat16"] = "auto"
    """Matrix products in bfloat16, all that is delicate in float32; ``auto`` does so on CUDA."""

    @model_validator(mode="after")
    def _rows_end_at_checkpoints(self) -> TrainingConfig:
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every = {self.checkpoint_every} is no multiple of log_every = {self.log_every}; "
                "a row of the log must not straddle a checkpoint, or a resumed run could not write it again"
            )
        return self


class RunConfig(Spec):
    """All settings of a run."""

    task: str
    """Name of the task."""
    model: ModelConfig
    """Sizes of the model."""
    data: DataConfig
    """How contexts are drawn."""
    training: TrainingConfig
    """How the model is fitted."""
