"""Settings of a training run: model, data and training. They are written into the run's folder as `CONFIG_NAME`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from dmh_edge.models.build import ModelConfig
from dmh_edge.names import TeacherName
from dmh_edge.schema import Spec

#: Name of the file with the settings in the folder of a run.
CONFIG_NAME = "config.json"


def without_dead_settings(content: Any) -> Any:
    """Return an earlier version's settings without those that had no effect: ``reward_scale`` of ``bc``.

    Args:
        content: settings of a run, parsed from JSON but not yet checked. Other content is returned unchanged.
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
    """n: episodes of one hidden task in a context, sorted by return, lowest first."""
    label: Literal["expert", "behaviour"] = "expert"
    """Which actions are imitated: the expert's, which the data hold beside the actions taken, or the actions taken."""
    target_return: Literal["episode", "context"] = "context"
    """Initial return-to-go of an episode: the episode's own return, or the best return of its context."""
    learn: Literal["all", "last"] = "all"
    """Which episodes of a context are imitated. With ``last``, the episodes before the last one are only read."""
    balance_actions: bool = False
    """Whether each choice of action has the same total weight in the loss, even a rare one. Use it if only one step in
    a thousand matters: the other steps would otherwise dominate the loss."""
    top_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of each hidden task's episodes that is learned from: those with the highest returns."""
    hold_out: int = Field(default=0, ge=0)
    """Number of the data's hidden tasks that are not learned from; `dmh-edge eval --tasks validation` evaluates on
    them, to choose settings."""
    workers: int = Field(default=1, ge=0)
    """Threads that make batches ahead of time; with 0 each batch is made when it is needed."""


class TrainingConfig(Spec):
    """How the model is trained."""

    updates: int = Field(default=100_000, ge=1)
    """Number of gradient steps."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """AdamW's highest learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or falling along half a cosine to a tenth."""
    warm_up: int = Field(default=1_000, ge=0)
    """Updates over which the learning rate rises linearly."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's weight decay."""
    beta2: float = Field(default=0.999, gt=0, lt=1)
    """AdamW's decay rate for squared gradients. If only one step in a thousand matters, use a lower value, so that the
    squared gradients of the first updates are forgotten soon."""
    clip_norm: float = Field(default=0.25, gt=0)
    """Largest norm of the gradient; a gradient with a larger norm is scaled down to it."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, batches, dropout and noise."""
    log_every: int = Field(default=10, ge=1)
    """Updates per row of the logs; a row holds means over them."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Updates between checkpoints; a multiple of ``log_every``."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; ``auto`` takes a CUDA device if there is one."""
    autocast: Literal["auto", "off", "bfloat16"] = "auto"
    """``bfloat16``: matrix products in bfloat16, sensitive operations in float32; ``auto``: ``bfloat16`` on CUDA."""

    @model_validator(mode="after")
    def _rows_end_at_checkpoints(self) -> TrainingConfig:
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every = {self.checkpoint_every} is not a multiple of log_every = {self.log_every}; "
                "a checkpoint must not fall within a row of the log, or a resumed run could not write that row again"
            )
        return self


class OnPolicyConfig(Spec):
    """How a policy learns from its own steps: it plays rounds of contexts, and a teacher says what was right."""

    teacher: TeacherName = "expert"
    """Who labels the steps: see `dmh_edge.tasks.teachers`."""
    contexts: int = Field(default=64, ge=1)
    """Contexts per round; each is of a hidden task that is drawn anew."""
    keep: int = Field(default=256, ge=1)
    """Newest contexts that are learned from; at least one round is kept."""
    reuse: float = Field(default=2.0, gt=0)
    """How often a context is drawn per round, on average. There are ``reuse * contexts / data.batch`` updates between
    two rounds."""
    short_episodes: int = Field(default=0, ge=0)
    """Episodes of the shorter contexts that training begins with; 0 for none. The others have
    ``data.episodes_per_context``."""
    short_share: float = Field(default=0.6, ge=0, le=1)
    """Share of the training, measured in steps, in which contexts are short."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the training, measured in steps, in which the teacher plays; the expert, who knows what is hidden, does
    so with noise that falls from episode to episode. At least the first round is of this kind."""
    lead: float = Field(default=0.0, ge=0, le=1)
    """Share of the contexts in which the teacher acts in the first episodes, for a random number of them: so that a
    policy which finds nothing yet learns what to do once something is found."""


class RunConfig(Spec):
    """All settings of a run."""

    task: str
    """Name of the task."""
    model: ModelConfig
    """Kind and sizes of the model."""
    data: DataConfig
    """How contexts are drawn from the data."""
    training: TrainingConfig
    """How the model is trained."""
    on_policy: OnPolicyConfig | None = None
    """How the policy learns from its own steps; None to learn from a data set of histories."""

    @model_validator(mode="after")
    def _own_steps_are_labelled(self) -> RunConfig:
        if self.on_policy is None:
            return self
        if self.data.label != "expert":
            raise ValueError(
                "data.label = 'behaviour' would imitate the policy's own actions; on its own steps, a "
                "policy imitates a teacher: set data.label to expert"
            )
        if self.data.top_fraction != 1:
            raise ValueError("data.top_fraction selects from a data set; a policy learns from all of its own steps")
        if self.on_policy.short_episodes > self.data.episodes_per_context:
            raise ValueError(
                f"on_policy.short_episodes = {self.on_policy.short_episodes} is more than data.episodes_per_context = "
                f"{self.data.episodes_per_context}"
            )
        return self
