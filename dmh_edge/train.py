"""Training: from a data set, or from the policy's own steps, to the folder of a run.

    config.json               the settings that were used; `dmh-edge train --config` accepts the file
    checkpoint.safetensors    the newest checkpoint
    rounds/                   what the policy played itself and still learns from
    log.csv, tensorboard/     the loss curve and, for own steps, the return

A run that was killed at any moment can go on with ``resume``. Batches are a pure function of seed and update, rounds of
seed, number and weights, and a checkpoint holds the state of all other random generators. On a CPU with the same number
of threads, the loss curve is therefore the same, bit for bit, as without the interruption.
"""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge import tasks
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.config import CONFIG_NAME, RunConfig
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generated
from dmh_edge.data.prefetch import prefetched
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.files import write_text
from dmh_edge.learner import Learner, choose_device
from dmh_edge.lessons.histories import Histories
from dmh_edge.lessons.lesson import Lessons
from dmh_edge.lessons.own_steps import OwnSteps
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.presets import load
from dmh_edge.schema import differences
from dmh_edge.training_log import Display, TrainingLog, in_words, returns_in_words


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
        returns: mean return of each episode that the policy played in the last round; empty if it played none.
    """

    first: int
    updates: int
    loss: float
    seconds: float
    data_share: float
    held_out: tuple[int, ...] = ()
    returns: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.updates == self.first:
            return f"nothing to do: all {self.updates:,} updates were made before"
        kept = f"; held out: hidden {', '.join(map(str, self.held_out))}" if self.held_out else ""
        speed = (self.updates - self.first) / self.seconds
        waited = "playing and waiting for data" if self.returns else "waiting for data"
        return (
            f"{self.updates - self.first:,} updates in {self.seconds:.0f} s: {speed:.2f} per second, of which "
            f"{self.data_share:.1%} {waited}; loss {self.loss:.4f}{returns_in_words(self.returns)}{kept}"
        )


def train(config: RunConfig, data: Path | None, out: Path, resume: bool = False) -> TrainingSummary:
    """Train a policy.

    Args:
        config: the settings.
        data: folder of a Minari data set of the task; None makes in memory what `dmh-edge data` would write, or lets
            the policy play itself if ``config.on_policy`` says so. For a task that is not built in, the specification
            is read from the data.
        out: folder of the run; made if it does not exist.
        resume: whether to go on from the checkpoint in ``out``; if there is none yet, the run starts at the beginning.

    Raises:
        ConfigError: ``out`` already holds a run, or, with ``resume``, one with other settings; the device does not
            exist; there are both data and ``config.on_policy``; or the loss is no longer a finite number.
        DataError: the data cannot be learned from, or are not those that the run was started with.
        ContractError: the checkpoint in ``out`` is of another task.
        ArtifactError: the checkpoint in ``out`` is truncated or altered, or ``out`` cannot be written.
    """
    device = choose_device(config.training.device)
    checkpoint = _earlier(config, out, resume)
    lessons = _lessons(config, data, out)
    if checkpoint is not None:
        checkpoint.require_task(lessons.first.spec)
        if checkpoint.header.data_sha256 != lessons.sha256:
            raise DataError(
                f"{data or 'what was made in memory'} holds other data than the run in {out} was started with "
                f"(SHA-256 {lessons.sha256[:12]}, expected {checkpoint.header.data_sha256[:12]}); resume with the "
                "same data, or start a run in another --out"
            )
    learner = Learner(config, lessons.first, device, lessons.progress)
    write_text(out / CONFIG_NAME, config.model_dump_json(indent=2) + "\n")
    if checkpoint is not None:
        learner.restore(checkpoint)
        lessons.restore(checkpoint.header.rounds)
    return _run(learner, lessons, out)


def _lessons(config: RunConfig, data: Path | None, out: Path) -> Lessons:
    """Return what to learn from."""
    name = config.task
    if data is not None and config.on_policy is not None:
        raise ConfigError(
            "--data and on_policy exclude each other: a policy that learns from its own steps plays itself"
        )
    if data is not None and not tasks.is_known(name):
        episodes = Episodes.load(data, name)
        return Histories(config, episodes, np.unique(episodes.hidden).tolist())
    try:
        task = tasks.find(name)
    except ConfigError as error:
        if ":" in name:
            raise
        raise ConfigError(
            f"{error}; a task of your own is package.module:NAME, or has data, whose folder you name with --data"
        ) from None
    if config.on_policy is not None:
        return OwnSteps(config, config.on_policy, task, out)
    if data is None:
        return Histories(config, generated(task), task.train_ids)
    # Fields in which the data need not agree with the task, such as the horizon, are taken from the task.
    return Histories(config, replace(Episodes.load(data, task.spec), spec=task.spec), task.train_ids)


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


class _Feed:
    """The contexts of one update after the other, from stage to stage.

    Args:
        learner: who learns from them: every one of them, before the next is asked for.
        lessons: where they come from.
        log: where the returns of played rounds are written.

    Attributes:
        waiting: seconds that were spent waiting for contexts.
        returns: mean return of each episode in the newest round that the policy played; empty if it played none.
    """

    def __init__(self, learner: Learner, lessons: Lessons, log: TrainingLog) -> None:
        self.waiting = 0.0
        self.returns: tuple[float, ...] = ()
        self._learner, self._lessons, self._log = learner, lessons, log

    def __iter__(self) -> Generator[LabelledChunks[NDArray[Any]]]:
        learner = self._learner
        while learner.step < learner.config.training.updates:
            asked = time.perf_counter()
            stage = self._lessons.stage(learner)
            if stage.returns:
                self.returns = stage.returns
                self._log.note(learner.step + 1, {f"return/{n:03d}": value for n, value in enumerate(stage.returns, 1)})
            updates = range(learner.step, stage.end)
            with contextlib.closing(prefetched(stage.draw, updates, learner.config.data.workers)) as drawn:
                for arrays in drawn:
                    self.waiting += time.perf_counter() - asked
                    yield arrays
                    asked = time.perf_counter()


def _run(learner: Learner, lessons: Lessons, out: Path) -> TrainingSummary:
    """Make all updates, and write logs and checkpoints; show the progress."""
    training, first = learner.config.training, learner.step
    columns = ("learning_rate", "loss", *learner.model.loss_parts, "gradient_norm")
    log, display = TrainingLog(out, columns, first), Display(first, training.updates)
    feed = _Feed(learner, lessons, log)
    window: list[dict[str, float]] = []
    loss, started = math.nan, time.perf_counter()
    fastest, told = math.inf, False
    if lessons.remark:
        display.say(lessons.remark)
    try:
        with contextlib.closing(iter(feed)) as contexts:
            for arrays in contexts:
                began = time.perf_counter()
                window.append(learner.update(arrays))
                if not told:
                    fastest = min(fastest, time.perf_counter() - began)
                    if told := learner.step == first + _TRIED or time.perf_counter() - started > _TRIED_S:
                        display.say(_cost(arrays, fastest, learner))
                last = learner.step == training.updates
                if last or learner.step % training.log_every == 0:
                    mean = {name: math.fsum(row[name] for row in window) / len(window) for name in columns}
                    window.clear()
                    loss, elapsed = mean["loss"], time.perf_counter() - started
                    speed = (learner.step - first) / elapsed
                    log.write(learner.step, mean, {"updates_per_s": speed, "data_share": feed.waiting / elapsed})
                    display.show(learner.step, f"loss {loss:.4f}{returns_in_words(feed.returns)}", speed)
                if last or learner.step % training.checkpoint_every == 0:
                    log.sync()
                    learner.checkpoint(lessons.sha256, lessons.kept).save(out / CHECKPOINT_NAME)
                    lessons.tidy()
    except KeyboardInterrupt:
        display.say(f"interrupted after update {learner.step:,}; continue from the newest checkpoint with --resume")
        raise
    finally:
        display.close()
        log.close()
    seconds = time.perf_counter() - started
    summary = TrainingSummary(
        first, learner.step, loss, seconds, feed.waiting / seconds, lessons.held_out, feed.returns
    )
    display.say(str(summary))
    return summary


#: Updates that are timed, and seconds at most, before the run says what all updates will take. The first one is slow:
#: caches are cold.
_TRIED, _TRIED_S = 5, 5.0


def _cost(arrays: LabelledChunks[NDArray[Any]], seconds: float, learner: Learner) -> str:
    """Say how large an update is, and what all of them will take, given the seconds that one took."""
    contexts, steps = len(arrays.valid), int(arrays.valid.sum(axis=(1, 2)).max())
    share = learner.progress(learner.step) - learner.progress(learner.step - 1)
    left = seconds * (1 - learner.progress(learner.step)) / share
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"an update reads {contexts} contexts of up to {steps:,} steps and takes {seconds:.2g} s, so the updates will "
        f"take about {in_words(left)} in all; the process has used {gigabytes:.1f} GB of memory"
    )
