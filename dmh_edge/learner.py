"""A model and its optimiser: gradient steps, and saving and restoring by checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dmh_edge.checkpoint import Checkpoint, Header
from dmh_edge.config import RunConfig, TrainingConfig
from dmh_edge.data import batches
from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import ConfigError
from dmh_edge.models.build import build
from dmh_edge.models.chunks import LabelledChunks


class Learner:
    """Takes gradient steps on contexts. A checkpoint restores its state exactly.

    Args:
        config: settings of the run.
        first: the first episodes to learn from, which also hold the specification of the task. Mean and standard
            deviation of their observations become part of the model.
        device: device to train on.
        progress: share of the training that is done before an update, 0 to 1; None if all updates are equally large.

    Attributes:
        config: settings of the run.
        spec: specification of the task.
        device: device of the model.
        model: the policy in training.
        step: number of gradient steps so far.
    """

    def __init__(
        self,
        config: RunConfig,
        first: Episodes,
        device: torch.device,
        progress: Callable[[int], float] | None = None,
    ) -> None:
        self.config, self.spec, self.device = config, first.spec, device
        self.step = 0
        torch.manual_seed(config.training.seed)
        self.model = build(config.model, first.spec)
        observation = torch.from_numpy(first.observation).double()
        self.model.encoder.fit(observation.mean(0), observation.std(0))
        self.model.to(device).train()
        self._parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        training = config.training
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(), betas=(0.9, training.beta2), weight_decay=training.weight_decay, fused=True
        )
        self._autocast = training.autocast == "bfloat16" or (training.autocast == "auto" and device.type == "cuda")
        self._progress = progress

    def progress(self, update: int) -> float:
        """Return the share of the training that is done before an update, 0 to 1."""
        return update / self.config.training.updates if self._progress is None else self._progress(update)

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
        done = None if self._progress is None else self._progress(self.step)
        numbers["learning_rate"] = learning_rate(training, self.step, done)
        for group in self._optimizer.param_groups:
            group["lr"] = numbers["learning_rate"]
        self._optimizer.step()
        self.step += 1
        return numbers

    def checkpoint(self, data_sha256: str, rounds: Mapping[int, str] = MappingProxyType({})) -> Checkpoint:
        """Return a checkpoint with everything that is needed to go on from here.

        Args:
            data_sha256: digest of what decides the lessons.
            rounds: digests of the rounds that the policy played and that are still learned from.
        """
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        moments = {
            f"{name}.{moment}": value
            for name, parameter in self._parameters.items()
            for moment, value in self._optimizer.state[parameter].items()
        }
        header = Header(
            step=self.step, config=self.config, task=self.spec, data_sha256=data_sha256, rounds=dict(rounds)
        )
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


def learning_rate(training: TrainingConfig, update: int, done: float | None = None) -> float:
    """Return the learning rate of an update: a linear rise, then constant or a half cosine to a tenth.

    The tenth is relative to ``training.learning_rate``.

    Args:
        training: the settings.
        update: number of the update, counted from 0.
        done: share of the training that is done, 0 to 1; None for the share of the updates after the warm-up.
    """
    if update < training.warm_up:
        return training.learning_rate * (update + 1) / training.warm_up
    if training.schedule == "constant":
        return training.learning_rate
    if done is None:
        done = (update - training.warm_up) / max(1, training.updates - training.warm_up)
    return training.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def choose_device(wanted: str) -> torch.device:
    """Return the device to train on.

    Raises:
        ConfigError: ``wanted`` is ``cuda``, but torch sees no CUDA device.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device is 'cuda', but torch sees no CUDA device here; set it to 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
