"""Training: from a data set to the folder of a run.

    config.json               the settings that were used; `dmh-edge train --config` accepts the file
    checkpoint.safetensors    the newest checkpoint
    log.csv, tensorboard/     the loss curve

A run that was killed at any moment can go on with ``resume``. Batches are a pure function of seed and update, and a
checkpoint holds the state of all other random generators. On a CPU with the same number of threads, the loss curve is
therefore the same, bit for bit, as without the interruption.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmh_edge import tasks
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.config import CONFIG_NAME, RunConfig
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generated
from dmh_edge.data.prefetch import prefetched
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.files import write_text
from dmh_edge.learner import Learner, choose_device
from dmh_edge.presets import load
from dmh_edge.schema import differences
from dmh_edge.training_log import Display, TrainingLog


@dataclass(frozen=True)
class TrainingSummary:
    """Result and speed of a training run.

    Attributes:
        first: number of gradient steps before this run.
        updates: number of gradient steps after this run.
        loss: mean loss in the last row of the log; NaN if there was nothing left to do.
        seconds: wall time of the updates, checkpoints and logs included.
        data_share: share of ``seconds`` that was spent waiting for data, 0 to 1.
        held_out: hidden tasks that were not learned from.
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


def train(config: RunConfig, data: Path | None, out: Path, resume: bool = False) -> TrainingSummary:
    """Train a policy.

    Args:
        config: the settings.
        data: folder of a Minari data set of the task; None makes in memory what `dmh-edge data` would write. For a task
            that is not built in, the specification is read from the data.
        out: folder of the run; made if it does not exist.
        resume: whether to go on from the checkpoint in ``out``; if there is none yet, the run starts at the beginning.

    Raises:
        ConfigError: ``out`` already holds a run, or, with ``resume``, one with other settings; the device does not
            exist; or the loss is no longer a finite number.
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
                f"(SHA-256 {episodes.sha256[:12]}, expected {checkpoint.header.data_sha256[:12]}); resume with the "
                "same data, or start a run in another --out"
            )
    learner = Learner(config, episodes, train_ids, device)
    write_text(out / CONFIG_NAME, config.model_dump_json(indent=2) + "\n")
    if checkpoint is not None:
        learner.restore(checkpoint)
    return _run(learner, out)


def _data(name: str, data: Path | None) -> tuple[Episodes, Sequence[int]]:
    """Return the episodes to learn from, and the hidden tasks that they are of."""
    if data is not None and not tasks.is_known(name):
        return (episodes := Episodes.load(data, name)), np.unique(episodes.hidden).tolist()
    try:
        task = tasks.find(name)
    except ConfigError as error:
        raise ConfigError(f"{error}; for a task of your own, name the folder of its data with --data") from None
    if data is None:
        return generated(task), task.train_ids
    # Fields in which the data need not agree with the task, such as the horizon, are taken from the task.
    return replace(Episodes.load(data, task.spec), spec=task.spec), task.train_ids


def _earlier(config: RunConfig, out: Path, resume: bool) -> Checkpoint | None:
    """Return the checkpoint to go on from, if any; refuse a folder that holds a run which cannot be continued."""
    settings, newest = out / CONFIG_NAME, out / CHECKPOINT_NAME
    if not resume and (settings.exists() or newest.exists()):
        raise ConfigError(f"{out} already holds a run; continue it with --resume, or choose another --out")
    checkpoint = Checkpoint.load(newest) if newest.exists() else None
    used = checkpoint.header.config if checkpoint is not None else None
    if used is None and settings.exists():
        used = load(config.task, config.model.kind, settings)
    if used is not None:  # the number of workers has no effect on the result
        used = used.model_copy(update={"data": used.data.model_copy(update={"workers": config.data.workers})})
    if used is not None and (changed := differences(used, config)):
        raise ConfigError(
            f"the run in {out} was started with other settings: {'; '.join(changed)}. Resume with --config {settings}, "
            "or start a run in another --out"
        )
    return checkpoint


def _run(learner: Learner, out: Path) -> TrainingSummary:
    """Make all updates, and write logs and checkpoints; show the progress."""
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
        display.say(f"interrupted after update {learner.step:,}; continue from the newest checkpoint with --resume")
        raise
    finally:
        drawn.close()
        display.close()
        log.close()
    seconds = time.perf_counter() - started
    summary = TrainingSummary(first, learner.step, loss, seconds, waiting / seconds, learner.held_out)
    display.say(str(summary))
    return summary
