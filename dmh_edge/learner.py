"""A model, its optimiser and the data it learns from: gradient steps, and saving and restoring by checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dmh_edge.checkpoint import Checkpoint, Header
from dmh_edge.config import RunConfig, TrainingConfig
from dmh_edge.data import batches
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.selection import learnable, validation_ids
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.models.build import build
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.task import DiscreteAction


class Learner:
    """Takes gradient steps on contexts of a data set. A checkpoint restores its state exactly.

    Args:
        config: settings of the run.
        episodes: the data, which also hold the specification of the task. Mean and standard deviation of the
            observations that are learned from become part of the model.
        train_ids: hidden tasks of the data; ``data.hold_out`` of them are not learned from.
        device: device to train on.

    Attributes:
        config: settings of the run.
        spec: specification of the task.
        device: device of the model.
        model: the policy in training.
        step: number of gradient steps so far.
        held_out: hidden tasks that are not learned from.

    Raises:
        ConfigError, DataError: too few hidden tasks or episodes are left to learn from, an episode is longer than the
            task's horizon, or ``data.balance_actions`` is set for a task with continuous actions.
    """

    def __init__(self, config: RunConfig, episodes: Episodes, train_ids: Sequence[int], device: torch.device) -> None:
        spec = episodes.spec
        if config.data.balance_actions and not isinstance(spec.action, DiscreteAction):
            raise ConfigError(
                f"data.balance_actions is for discrete actions, but the actions of {spec.name!r} are continuous; "
                "leave it false"
            )
        self.config, self.spec, self.device = config, spec, device
        self.step = 0
        self._data_sha256 = episodes.sha256
        self.held_out = validation_ids(train_ids, config.data.hold_out)
        episodes = learnable(episodes, self.held_out, config.data.top_fraction)
        if (longest := int(episodes.length.max())) > spec.horizon:
            raise DataError(
                f"an episode of the data has {longest:,} steps, but the horizon of {spec.name!r} is {spec.horizon:,}; "
                "cut the episodes, or, if the task is your own, give its task_spec another horizon"
            )
        torch.manual_seed(config.training.seed)
        self.model = build(config.model, spec)
        observation = torch.from_numpy(episodes.observation).double()
        self.model.encoder.fit(observation.mean(0), observation.std(0))
        self.model.to(device).train()
        self._parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        training = config.training
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(), betas=(0.9, training.beta2), weight_decay=training.weight_decay, fused=True
        )
        self._sampler = ContextSampler(
            episodes,
            chunk=self.model.chunk_steps(int(episodes.length.max())),
            episodes_per_context=config.data.episodes_per_context,
            expert_labels=config.data.label == "expert",
            target="best" if config.data.target_return == "context" else "own",
            balance=config.data.balance_actions,
            last_only=config.data.learn == "last",
        )
        self._autocast = training.autocast == "bfloat16" or (training.autocast == "auto" and device.type == "cuda")

    def draw(self, update: int) -> LabelledChunks[NDArray[Any]]:
        """Return the contexts of an update: a pure function of its number."""
        return self._sampler.draw(self.config.training.seed, update, self.config.data.batch)

    def update(self, arrays: LabelledChunks[NDArray[Any]]) -> dict[str, float]:
        """Make one gradient step on a batch of contexts.

        Returns:
            the numbers for the log.

        Raises:
            ConfigError: the loss or its gradient is not finite. The weights are not changed then.
        """
        training = self.config.training
        noise = batches.draw_noise(arrays, self.model.chunk_noise, self.device)
        chunks = batches.tensors(arrays, self.device, noise.dtype)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            parts = self.model.loss(chunks, noise)
        self._optimizer.zero_grad()
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), training.clip_norm)
        numbers = {name: part.item() for name, part in parts.items()} | {"gradient_norm": norm.item()}
        if not all(map(math.isfinite, numbers.values())):
            values = ", ".join(f"{name} {value}" for name, value in numbers.items())
            raise ConfigError(
                f"training diverged at update {self.step + 1}: {values}; lower training.learning_rate, or raise "
                "training.warm_up. The checkpoint of an earlier update is unchanged"
            )
        numbers["learning_rate"] = learning_rate(training, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = numbers["learning_rate"]
        self._optimizer.step()
        self.step += 1
        return numbers

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint with everything that is needed to go on from here."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        moments = {
            f"{name}.{moment}": value
            for name, parameter in self._parameters.items()
            for moment, value in self._optimizer.state[parameter].items()
        }
        header = Header(step=self.step, config=self.config, task=self.spec, data_sha256=self._data_sha256)
        return Checkpoint(header, self.model.state_dict(), moments, random)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same configuration."""
        checkpoint.load_into(self.model)
        for name, parameter in self._parameters.items():
            state: dict[str, Tensor] = self._optimizer.state[parameter]
            for moment in ("step", "exp_avg", "exp_avg_sq"):
                state[moment] = checkpoint.optimizer[f"{name}.{moment}"].to(self.device)
        torch.set_rng_state(checkpoint.random["cpu"])
        if self.device.type == "cuda" and "cuda" in checkpoint.random:
            torch.cuda.set_rng_state(checkpoint.random["cuda"], self.device)
        self.step = checkpoint.header.step


def learning_rate(training: TrainingConfig, update: int) -> float:
    """Return the learning rate of an update, counted from 0: a linear rise, then constant or a half cosine to a tenth.

    The tenth is relative to ``training.learning_rate``.
    """
    if update < training.warm_up:
        return training.learning_rate * (update + 1) / training.warm_up
    if training.schedule == "constant":
        return training.learning_rate
    progress = (update - training.warm_up) / max(1, training.updates - training.warm_up)
    return training.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)


def choose_device(wanted: str) -> torch.device:
    """Return the device to train on.

    Raises:
        ConfigError: ``wanted`` is ``cuda``, but torch sees no CUDA device.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device is 'cuda', but torch sees no CUDA device here; set it to 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
