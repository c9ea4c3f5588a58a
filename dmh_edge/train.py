"""Training: from a data set to the folder of a run.

    config.json               what was used; `dmh-edge train --config` accepts it
    checkpoint.safetensors    the newest checkpoint
    log.csv, tensorboard/     the loss curve

A run that was killed at any moment goes on with ``resume``. Batches are a pure function of seed and update, and a
checkpoint holds the state of all other randomness, so that on a CPU, with as many threads, the curve is the same, bit
for bit, as without the kill.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmh_edge import tasks
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint, Header
from dmh_edge.config import CONFIG_NAME, RunConfig, TrainingConfig
from dmh_edge.data import batches
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generated
from dmh_edge.data.prefetch import prefetched
from dmh_edge.data.selection import learnable, validation_ids
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.files import write_text
from dmh_edge.models.build import build
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.presets import load
from dmh_edge.schema import differences
from dmh_edge.task import DiscreteAction
from dmh_edge.training_log import Display, TrainingLog


@dataclass(frozen=True)
class Summary:
    """What a training run was like.

    Attributes:
        first, updates: gradient steps before it and after it.
        loss: mean over the last row of the log; NaN where there was nothing left to do.
        seconds: wall time of the updates, checkpoints and logs included.
        data_share: part of it that was spent waiting for data.
        held_out: hidden tasks that nothing was learned of.
    """

    first: int
    updates: int
    loss: float
    seconds: float
    data_share: float
    held_out: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.updates == self.first:
            return f"nothing to do: all {self.updates:,} updates were made before"
        kept = f"; held out: hidden {', '.join(map(str, self.held_out))}" if self.held_out else ""
        speed = (self.updates - self.first) / self.seconds
        return (
            f"{self.updates - self.first:,} updates in {self.seconds:.0f} s: {speed:.2f} per second, of which "
            f"{self.data_share:.1%} waiting for data; loss {self.loss:.4f}{kept}"
        )


def train(config: RunConfig, data: Path | None, out: Path, resume: bool = False) -> Summary:
    """Train a policy.

    Args:
        config: the settings.
        data: folder of a Minari data set of the task; None makes in memory what `dmh-edge data` would write. A task
            that is none of `tasks.TASKS` is what its data say.
        out: folder of the run; made if need be.
        resume: go on from the checkpoint in ``out``, or start where there is none yet.

    Raises:
        ConfigError: ``out`` holds a run already, or one with other settings; there is no such device; or the loss is no
            longer a finite number.
        DataError: the data cannot be learned from, or are not those that the run was started with.
        ContractError: the checkpoint in ``out`` is of another task.
        ArtifactError: the checkpoint in ``out`` is truncated or altered, or ``out`` cannot be written.
    """
    device = choose_device(config.training.device)
    checkpoint = _earlier(config, out, resume)
    episodes, train_ids = _data(config.task, data)
    if checkpoint is not None:
        checkpoint.require_task(episodes.spec)
        if checkpoint.header.data_sha256 != episodes.sha256:
            raise DataError(
                f"{data or 'what was made in memory'} holds other data than the run in {out} was started with "
                f"(SHA-256 {episodes.sha256[:12]}, then {checkpoint.header.data_sha256[:12]}); resume with the same "
                "data, or start a run in another --out"
            )
    learner = Learner(config, episodes, train_ids, device)
    write_text(out / CONFIG_NAME, config.model_dump_json(indent=2) + "\n")
    if checkpoint is not None:
        learner.restore(checkpoint)
    return _run(learner, out)


def _data(name: str, data: Path | None) -> tuple[Episodes, Sequence[int]]:
    """What is learned from, and which hidden tasks are there to learn."""
    if data is not None and not tasks.is_known(name):
        return (episodes := Episodes.load(data, name)), np.unique(episodes.hidden).tolist()
    try:
        task = tasks.find(name)
    except ConfigError as error:
        raise ConfigError(f"{error}; a task of your own is known by its data: name their folder with --data") from None
    if data is None:
        return generated(task), task.train_ids
    # What the data need not agree in, as the horizon, is the task's.
    return replace(Episodes.load(data, task.spec), spec=task.spec), task.train_ids


class Learner:
    """A model, its optimiser, and how far they are; and what they learn from.

    Args:
        config: the run's settings.
        episodes: the data, and with them the task. The statistics of those that are learned from go into the model.
        train_ids: hidden tasks from which ``data.hold_out`` keeps some.
        device: where to train.

    Attributes:
        held_out: those.

    Raises:
        ConfigError, DataError: too few hidden tasks or episodes are left to learn from, or an episode is longer than
            the task's horizon.
    """

    def __init__(self, config: RunConfig, episodes: Episodes, train_ids: Sequence[int], device: torch.device) -> None:
        spec = episodes.spec
        if config.data.balance_actions and not isinstance(spec.action, DiscreteAction):
            raise ConfigError(
                f"data.balance_actions is for choices among actions, but those of {spec.name!r} are continuous; "
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
                "cut the episodes, or, where the task is your own, give its task_spec another horizon"
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
        """The contexts of an update: a pure function of its number."""
        return self._sampler.draw(self.config.training.seed, update, self.config.data.batch)

    def update(self, arrays: LabelledChunks[NDArray[Any]]) -> dict[str, float]:
        """One gradient step on a batch of contexts.

        Returns:
            the numbers of a row of the log.

        Raises:
            ConfigError: the loss or its gradient is not finite. The weights are as they were.
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
                "training.warm_up. The checkpoint of an earlier update is as it was"
            )
        numbers["learning_rate"] = learning_rate(training, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = numbers["learning_rate"]
        self._optimizer.step()
        self.step += 1
        return numbers

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on from here."""
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
    """Rate of an update, counted from 0: a linear rise, then constant or half a cosine down to a tenth."""
    if update < training.warm_up:
        return training.learning_rate * (update + 1) / training.warm_up
    if training.schedule == "constant":
        return training.learning_rate
    progress = (update - training.warm_up) / max(1, training.updates - training.warm_up)
    return training.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)


def choose_device(wanted: str) -> torch.device:
    """The device to train on.

    Raises:
        ConfigError: CUDA is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device is 'cuda', but torch sees no CUDA device here; set it to 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _earlier(config: RunConfig, out: Path, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, if there is one; the folder is free, or holds a run with the same settings."""
    settings, newest = out / CONFIG_NAME, out / CHECKPOINT_NAME
    if not resume and (settings.exists() or newest.exists()):
        raise ConfigError(f"{out} holds a run already; go on with it by --resume, or choose another --out")
    checkpoint = Checkpoint.load(newest) if newest.exists() else None
    used = checkpoint.header.config if checkpoint is not None else None
    if used is None and settings.exists():
        used = load(config.task, config.model.kind, settings)
    if used is not None:  # how many workers make batches changes nothing that is learned
        used = used.model_copy(update={"data": used.data.model_copy(update={"workers": config.data.workers})})
    if used is not None and (changed := differences(used, config)):
        raise ConfigError(
            f"the run in {out} was started with other settings: {'; '.join(changed)}. Resume with --config {settings}, "
            "or start a run in another --out"
        )
    return checkpoint


def _run(learner: Learner, out: Path) -> Summary:
    """Update until done, with logs, checkpoints and something to look at."""
    training, first = learner.config.training, learner.step
    columns = ("learning_rate", "loss", *learner.model.loss_parts, "gradient_norm")
    log, display = TrainingLog(out, columns, first), Display(first, training.updates)
    window: list[dict[str, float]] = []
    loss, waiting, started = math.nan, 0.0, time.perf_counter()
    drawn = prefetched(learner.draw, range(first, training.updates), learner.config.data.workers)
    try:
        while learner.step < training.updates:
            asked = time.perf_counter()
            arrays = next(drawn)
            waiting += time.perf_counter() - asked
            window.append(learner.update(arrays))
            last = learner.step == training.updates
            if last or learner.step % training.log_every == 0:
                mean = {name: math.fsum(row[name] for row in window) / len(window) for name in columns}
                window.clear()
                loss, elapsed = mean["loss"], time.perf_counter() - started
                speed = (learner.step - first) / elapsed
                log.write(learner.step, mean, {"updates_per_s": speed, "data_share": waiting / elapsed})
                display.show(learner.step, loss, speed)
            if last or learner.step % training.checkpoint_every == 0:
                log.sync()
                learner.checkpoint().save(out / CHECKPOINT_NAME)
    except KeyboardInterrupt:
        display.say(f"interrupted after update {learner.step:,}; go on from the newest checkpoint with --resume")
        raise
    finally:
        drawn.close()
        display.close()
        log.close()
    seconds = time.perf_counter() - started
    summary = Summary(first, learner.step, loss, seconds, waiting / seconds, learner.held_out)
    display.say(str(summary))
    return summary
