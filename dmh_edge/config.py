"""What a training run is: model, data and training settings, and a preset per task and model.

A run's settings come from its preset, then from a JSON file (``--config``), then from single settings (``--set
model.width=64``); what was used is written beside the result, in the form that ``--config`` accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from dmh_edge.errors import ConfigError, unknown
from dmh_edge.models.build import ModelConfig
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, BCConfig, DMConfig, DTConfig
from dmh_edge.schema import Spec, first_fault

#: Name of the settings' file in the folder of a run.
CONFIG_NAME = "config.json"


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


@dataclass(frozen=True)
class _Task:
    """What presets of one task share, whatever the model: sizes, data, training."""

    chunk: int
    data: DataConfig
    training: TrainingConfig
    width: int = 64
    state_size: int = 8
    reward_scale: float = 1.0
    return_conditioned: bool = False
    levels: Literal["one-hot", "scale"] = "one-hot"
    selection_gain: float = 1.0


_SMALL = TrainingConfig(updates=1_600, learning_rate=3e-3, schedule="cosine", warm_up=50)
#: In a room, numbers on a scale say more of a cell where no goal has been than one-hot vectors (docs/performance.md).
_SMALL_ROOM = _Task(chunk=5, levels="scale", data=DataConfig(batch=16, episodes_per_context=12), training=_SMALL)
_LARGE_ROOM = _Task(chunk=20, levels="scale", data=DataConfig(batch=8, episodes_per_context=4), training=_SMALL)
_ARM = _Task(
    chunk=5,
    reward_scale=2,
    state_size=16,
    data=DataConfig(batch=8, episodes_per_context=20),
    training=TrainingConfig(updates=1_600, learning_rate=2e-3, schedule="cosine", warm_up=50),
)
#: By family: `load` takes ``tmaze-1000`` for a ``tmaze``.
_TASKS = {
    "darkroom": _SMALL_ROOM,
    "darkroom-hard": _SMALL_ROOM,
    "darkroom-dynamic": _SMALL_ROOM,
    "key-to-door": replace(_SMALL_ROOM, data=DataConfig(batch=16, episodes_per_context=8)),
    "large-darkroom": _LARGE_ROOM,
    "large-darkroom-hard": _LARGE_ROOM,
    "large-darkroom-dynamic": _LARGE_ROOM,
    "large-key-to-door": replace(_LARGE_ROOM, data=DataConfig(batch=4, episodes_per_context=4)),
    "tmaze": _Task(
        chunk=20,
        return_conditioned=True,
        selection_gain=8,
        data=DataConfig(batch=8, episodes_per_context=1, balance_actions=True),
        training=TrainingConfig(updates=500, learning_rate=1e-3, warm_up=50, beta2=0.95),
    ),
    "dark-reacher": _ARM,
    "dark-payload": replace(_ARM, chunk=10, data=DataConfig(batch=8, episodes_per_context=8)),
}


def _preset(task: str, of: _Task, kind: str) -> RunConfig:
    common: dict[str, Any] = {"width": of.width, "dropout": 0, "reward_scale": of.reward_scale, "levels": of.levels}
    selective = {"state_size": of.state_size, "selection_gain": of.selection_gain}
    mamba, attention = {"layers": 2, **selective}, {"layers": 2}
    model: Any
    data = of.data
    match kind:
        case "dm-h":
            model = DMHConfig(
                chunk=of.chunk,
                subgoal_size=64,
                **selective,
                actor_layers=1,
                return_conditioned=of.return_conditioned,
                **common,
            )
        case "dm":
            model, data = DMConfig(**mamba, **common), data.model_copy(update={"target_return": "episode"})
        case "dt":
            window = 1_000_000 if task == "tmaze" else 20  # there the whole episode must be seen
            model, data = (
                DTConfig(window=window, **attention, **common),
                data.model_copy(update={"target_return": "episode"}),
            )
        case "ad-mamba":
            model = ADMambaConfig(**mamba, **common)
        case "ad-transformer":
            model = ADTransformerConfig(window_episodes=of.data.episodes_per_context, **attention, **common)
        case "bc":
            model, data = BCConfig(layers=2, **common), data.model_copy(update={"label": "behaviour"})
    return RunConfig(task=task, model=model, data=data, training=of.training)


#: Every kind of model.
KINDS = ("dm-h", "dm", "dt", "ad-transformer", "ad-mamba", "bc")
PRESETS = {(task, kind): _preset(task, of, kind) for task, of in _TASKS.items() for kind in KINDS}


def load(
    task: str, model: str | None = None, config_file: Path | None = None, settings: Iterable[str] = ()
) -> RunConfig:
    """Settings of a run: the preset, changed by a file, changed by single settings.

    Args:
        task: name of the task.
        model: kind of model; None for that of the file or, where there is none, DM-H.
        config_file: JSON with any of the fields of `RunConfig`.
        settings: ``data.batch=64``; values are JSON, and what is no JSON is taken as text.

    Raises:
        ConfigError: there is no such preset, field or file, or a value cannot be used.
    """
    change = {} if config_file is None else _read(config_file)
    of_file = part.get("kind") if isinstance(part := change.get("model"), dict) else None
    if None not in (model, of_file) and model != of_file:
        raise ConfigError(f"{config_file} is for model {of_file!r}, but {model!r} was asked for")
    model = model or of_file or "dm-h"
    family = re.sub(r"^tmaze-\d+$", "tmaze", task)
    if family not in _TASKS:
        raise ConfigError(unknown("task", task, [*_TASKS, "tmaze-LENGTH"]))
    if model not in KINDS:
        raise ConfigError(unknown("model", model, KINDS))
    preset = PRESETS[family, model].model_copy(update={"task": task})
    content = preset.model_dump(mode="json")
    content = _merged(content, change)
    if content["task"] != task:
        raise ConfigError(f"{config_file} is for task {content['task']!r}, but {task!r} was asked for")
    for setting in settings:
        content = _merged(content, _nested(setting))
    if isinstance(part := content["model"], dict) and part.get("kind") != model:
        raise ConfigError(f"setting model.kind: got {part.get('kind')!r} for a {model}; choose the model with --model")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"settings: {first_fault(RunConfig, error)}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a JSON {type(content).__name__}, expected an object of settings")
    return content


def _nested(setting: str) -> dict[str, Any]:
    """``a.b=1`` as ``{"a": {"b": 1}}``."""
    path, equals, text = setting.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"setting {setting!r} is not of the form name=value, e.g. data.batch=64")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text  # a word: no quotes needed
    for name in reversed(path.split(".")):
        value = {name: value}
    nested: dict[str, Any] = value
    return nested


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the leaves of ``change``."""
    merged = dict(base)
    for key, value in change.items():
        old = base.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
