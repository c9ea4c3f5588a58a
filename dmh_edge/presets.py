"""Presets: settings that work, for each task and model, and how a user changes them.

The settings of a run come from its preset, then from a JSON file (``--config``), then from single settings (``--set
model.width=64``). Later ones replace earlier ones. Each task and model has two presets: one to learn from histories,
and one to learn from own steps, which any setting of ``on_policy`` chooses; ``on_policy=true`` changes nothing in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dmh_edge.config import DataConfig, OnPolicyConfig, RunConfig, TrainingConfig, without_dead_settings
from dmh_edge.errors import ConfigError, unknown
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.encoding import Levels
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, BCConfig, DMConfig, DTConfig
from dmh_edge.names import MODELS
from dmh_edge.schema import first_fault
from dmh_edge.settings import parse_setting, read_settings


@dataclass(frozen=True)
class _Task:
    """Settings that the presets of one task share for all models: sizes, data, training."""

    chunk: int
    data: DataConfig
    training: TrainingConfig
    on_policy: OnPolicyConfig | None = None
    width: int = 64
    state_size: int = 8
    reward_scale: float = 1.0
    return_conditioned: bool = False
    levels: Levels = "one-hot"
    selection_gain: float = 1.0
    subgoal_noise: float = 1.0


@dataclass(frozen=True)
class _OwnSteps:
    """What is different in the presets of one task if a policy learns from its own steps.

    Attributes:
        on_policy: how the rounds are played.
        batch: contexts per update.
        episodes: episodes of the longer contexts.
        updates: number of gradient steps.
    """

    on_policy: OnPolicyConfig
    batch: int
    episodes: int
    updates: int


_SMALL = TrainingConfig(updates=1_600, learning_rate=3e-3, schedule="cosine", warm_up=50)
#: In a room, scaled coordinates generalise better than one-hot vectors to a cell where no goal has been
#: (docs/performance.md). The mean of a sub-goal gives a higher return there than a random sub-goal
#: (docs/results/tuning.md, gridworld.md).
_SMALL_ROOM = _Task(
    chunk=5,
    levels="scale",
    subgoal_noise=0,
    data=DataConfig(batch=16, episodes_per_context=12),
    training=_SMALL,
)
_LARGE_ROOM = _Task(chunk=20, levels="scale", data=DataConfig(batch=8, episodes_per_context=4), training=_SMALL)
_ARM = _Task(
    chunk=5,
    reward_scale=2,
    state_size=16,
    data=DataConfig(batch=8, episodes_per_context=20),
    training=TrainingConfig(updates=1_600, learning_rate=2e-3, schedule="cosine", warm_up=50),
)
#: For a task that is not built in.
_OWN = _Task(chunk=5, subgoal_noise=0, data=DataConfig(batch=8, episodes_per_context=8), training=_SMALL)
#: Settings by task; a ``tmaze-<L>`` of any length uses those of ``tmaze``.
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
    "dark-camera": replace(_ARM, reward_scale=0.25),
    "dark-slide": replace(_ARM, data=DataConfig(batch=8, episodes_per_context=8)),
}
#: What changes for own steps. A policy in a room learns from a teacher that searches as the policy must, and that leads
#: in half of the contexts: a policy that finds nothing yet could not learn there what to do once something is found.
_OWN_STEPS_IN_A_ROOM = _OwnSteps(
    OnPolicyConfig(teacher="sweep", lead=0.5, short_episodes=8), batch=16, episodes=20, updates=6_000
)
_OWN_STEPS = {
    "darkroom": _OWN_STEPS_IN_A_ROOM,
    "darkroom-hard": _OWN_STEPS_IN_A_ROOM,
    "key-to-door": replace(_OWN_STEPS_IN_A_ROOM, batch=8),
    "dark-reacher": _OwnSteps(OnPolicyConfig(short_episodes=6), batch=8, episodes=40, updates=5_000),
    "dark-camera": _OwnSteps(OnPolicyConfig(short_episodes=6), batch=8, episodes=20, updates=6_000),
    "dark-slide": _OwnSteps(OnPolicyConfig(short_episodes=3), batch=8, episodes=8, updates=4_000),
    "own": _OwnSteps(OnPolicyConfig(short_episodes=6), batch=8, episodes=20, updates=4_000),
}


def _on_own_steps(task: str, of: _Task) -> _Task:
    """Return the settings of a task for own steps; a task without such settings learns as it does from histories."""
    change = _OWN_STEPS.get(task)
    if change is None:
        return replace(of, on_policy=OnPolicyConfig())
    return replace(
        of,
        on_policy=change.on_policy,
        data=of.data.model_copy(update={"batch": change.batch, "episodes_per_context": change.episodes}),
        training=of.training.model_copy(update={"updates": change.updates}),
    )


def _preset(task: str, of: _Task, kind: str) -> RunConfig:
    common: dict[str, Any] = {"width": of.width, "dropout": 0, "levels": of.levels}
    rewarded = common | {"reward_scale": of.reward_scale}
    selective = {"state_size": of.state_size, "selection_gain": of.selection_gain}
    mamba, attention = {"layers": 2, **selective}, {"layers": 2}
    model: Any
    data = of.data
    match kind:
        case "dm-h":
            model = DMHConfig(
                chunk=of.chunk,
                subgoal_size=64,
                subgoal_noise=of.subgoal_noise,
                **selective,
                actor_layers=1,
                return_conditioned=of.return_conditioned,
                **rewarded,
            )
        case "dm":
            model, data = DMConfig(**mamba, **rewarded), data.model_copy(update={"target_return": "episode"})
        case "dt":
            window = 1_000_000 if task == "tmaze" else 20  # a T-maze needs the whole episode
            model, data = (
                DTConfig(window=window, **attention, **rewarded),
                data.model_copy(update={"target_return": "episode"}),
            )
        case "ad-mamba":
            model = ADMambaConfig(**mamba, **rewarded)
        case "ad-transformer":
            # Attention over all of a long context would take most of the time, above all while the policy plays.
            seen = (of.on_policy and of.on_policy.short_episodes) or of.data.episodes_per_context
            model = ADTransformerConfig(window_episodes=seen, **attention, **rewarded)
        case "bc":
            model = BCConfig(layers=2, **common)
            if of.on_policy is None:
                data = data.model_copy(update={"label": "behaviour"})
    return RunConfig(task=task, model=model, data=data, training=of.training, on_policy=of.on_policy)


#: The presets by task, model and whether the policy learns from its own steps.
PRESETS = {
    (task, kind, own_steps): _preset(task, _on_own_steps(task, of) if own_steps else of, kind)
    for task, of in {**_TASKS, "own": _OWN}.items()
    for kind in MODELS
    for own_steps in (False, True)
}


def load(
    task: str, model: str | None = None, config_file: Path | None = None, settings: Iterable[str] = ()
) -> RunConfig:
    """Return the settings of a run: the preset, changed by a file, then changed by single settings.

    Args:
        task: name of the task; a task without a preset gets general settings.
        model: kind of model; None for the kind in the file or, if the file has none, DM-H.
        config_file: JSON file with any of the fields of `RunConfig`.
        settings: single settings such as ``data.batch=64``. Values are JSON; other values are taken as text.

    Raises:
        ConfigError: there is no such model, field or file, or a value cannot be used.
    """
    change = {} if config_file is None else without_dead_settings(read_settings(config_file))
    of_file = part.get("kind") if isinstance(part := change.get("model"), dict) else None
    if None not in (model, of_file) and model != of_file:
        raise ConfigError(f"{config_file} is for model {of_file!r}, but {model!r} was asked for")
    model = model or of_file or "dm-h"
    family = re.sub(r"^tmaze-\d+$", "tmaze", task)
    if model not in MODELS:
        raise ConfigError(unknown("model", model, MODELS))
    changes = [change, *map(_nested, settings)]
    mentions = [one["on_policy"] for one in changes if "on_policy" in one]
    own_steps = bool(mentions) and mentions[-1] not in (None, False)
    preset = PRESETS[family if family in _TASKS else "own", model, own_steps]
    content = preset.model_copy(update={"task": task}).model_dump(mode="json")
    content = _merged(content, _switched(change))
    if content["task"] != task:
        raise ConfigError(f"{config_file} is for task {content['task']!r}, but {task!r} was asked for")
    for one in changes[1:]:
        content = _merged(content, _switched(one))
    if isinstance(part := content["model"], dict) and part.get("kind") != model:
        raise ConfigError(f"setting model.kind: got {part.get('kind')!r} for {model}; choose the model with --model")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"settings: {first_fault(RunConfig, error)}") from error


def _nested(setting: str) -> dict[str, Any]:
    """Parse a setting ``a.b=1`` to ``{"a": {"b": 1}}``."""
    path, value = parse_setting(setting, "setting", "data.batch=64")
    *parents, last = path.split(".")
    if "" in (*parents, last):
        raise ConfigError(f"setting {setting!r}: expected PART.NAME=VALUE, e.g. data.batch=64")
    nested = {last: value}
    for name in reversed(parents):
        nested = {name: nested}
    return nested


def _switched(change: dict[str, Any]) -> dict[str, Any]:
    """Return a change in which ``on_policy`` is not true, which means the preset's, nor false, which means None."""
    match change.get("on_policy"):
        case True:
            return {name: value for name, value in change.items() if name != "on_policy"}
        case False:
            return {**change, "on_policy": None}
    return change


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``change`` in place of its own."""
    merged = dict(base)
    for key, value in change.items():
        old = base.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
