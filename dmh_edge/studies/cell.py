"""A cell of a study: one policy, trained and tried. No study repeats what is already done.

WORK/TASK/MODEL-DIGEST/     the cell's folder. DIGEST is made of the settings that differ from their defaults: other
                            settings give another folder, and a new setting with a default renames no folder
    config.json, checkpoint.safetensors, log.csv, tensorboard/     the run, as `dmh-edge train` leaves it
    trial-DIGEST.json       result of a trial: an `Evaluation`
    spent.json              machine, versions and seconds: a `Spent`
    messages.txt            messages of training and export
    lock                    locked by the process that works in this folder
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import Field

from dmh_edge import tasks
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.config import CONFIG_NAME, RunConfig
from dmh_edge.data.selection import validation_ids
from dmh_edge.errors import ConfigError
from dmh_edge.evaluate import Arena, Evaluation, evaluate
from dmh_edge.export.pipeline import draft_contract
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.files import named_faults, write_text
from dmh_edge.presets import load
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import Spec, differences, parse
from dmh_edge.studies import engines
from dmh_edge.studies.machine import machine, versions
from dmh_edge.train import train
from dmh_edge.training_log import LOG_NAME


class Trial(Spec):
    """How a trained policy is tried. Its weights are not updated."""

    task: str
    """Name of the task; its length can differ from the length of the training task."""
    tasks: int = Field(ge=1)
    """Largest number of held-out hidden tasks."""
    validation: bool = False
    """Whether the hidden tasks are the ones that the run held out of its data for the choice of settings."""
    episodes: int = Field(ge=1)
    """Episodes in a row on each hidden task."""
    seeds: int = Field(ge=1)
    """Passes over all hidden tasks, each with its own seed."""
    deterministic: bool = False
    """Whether actions are chosen without noise."""
    exported: bool = False
    """Whether the policy runs in ONNX Runtime; if not, it runs in PyTorch."""
    alone: bool = False
    """Whether the trial leaves out the policy with its memory zeroed, the expert and a random policy."""


class Cell(Spec):
    """One policy of a study."""

    name: str
    """Name on the study's page, the same for all seeds."""
    task: str
    """Name of the task that the policy is trained on."""
    model: str
    """Kind of model."""
    settings: tuple[str, ...]
    """Settings that differ from the preset, in the form of `dmh-edge train --set`."""
    seed: int = Field(ge=0)
    """Seed of its training."""
    trials: tuple[Trial, ...] = Field(min_length=1)
    """Trials of the trained policy."""

    def __str__(self) -> str:
        return f"{self.task}, {self.name}, seed {self.seed}"

    @property
    def config(self) -> RunConfig:
        """All settings of its run."""
        return load(self.task, self.model, None, (*self.settings, f"training.seed={self.seed}"))

    def folder(self, work: Path) -> Path:
        """Folder of its files."""
        return work / self.task / f"{self.model}-{_digest(self.config)}"

    def finished(self, work: Path) -> bool:
        """Whether the result of every trial exists."""
        return all(_trial_file(self.folder(work), trial).exists() for trial in self.trials)


class Spent(Spec):
    """What a cell or a measurement took: the machine, the versions and the time."""

    machine: str
    """Machine that did the last part of the work."""
    versions: str
    """Versions of this package, Python and the engines in the last part of the work."""
    seconds: float = Field(ge=0)
    """Seconds of all parts of the work together."""


class Outcome(Spec):
    """A finished cell and its results."""

    cell: Cell
    """The cell."""
    evaluations: tuple[Evaluation, ...]
    """Results of its trials, in their order."""
    loss: float
    """Loss in the last tenth of its training; for DM-H only the part with the sub-goals of its own memory."""
    spent: Spent
    """What the cell took: the machine, the versions and the time."""


def finish(cell: Cell, work: Path) -> Outcome:
    """Do what is left of a cell, on one thread; a second process that wants the same cell waits for the first.

    Raises:
        DmhEdgeError: the policy cannot be trained, or a file cannot be written.
    """
    folder = cell.folder(work)
    if not cell.finished(work):
        with _alone_in(folder), _messages_to(folder / "messages.txt"), _one_thread(), _clocked(folder):
            if not _trained(folder, cell.config):
                train(cell.config, None, folder, resume=True)
            for trial in cell.trials:
                if not (file := _trial_file(folder, trial)).exists():
                    write_text(file, _try_out(folder, trial).model_dump_json() + "\n")
    return outcome(cell, work)


def outcome(cell: Cell, work: Path) -> Outcome:
    """Read the results of a finished cell from its files.

    Raises:
        ContractError: a file is truncated or altered.
        ConfigError: the cell was made with other defaults.
    """
    folder = cell.folder(work)
    if changed := differences(load(cell.task, cell.model, folder / CONFIG_NAME), cell.config):
        raise ConfigError(f"{folder} was made with other defaults: {'; '.join(changed)}. Delete it to make it again")
    files = [_trial_file(folder, trial) for trial in cell.trials]
    return Outcome(
        cell=cell,
        evaluations=tuple(parse(Evaluation, file.read_text(encoding="utf-8"), str(file)) for file in files),
        loss=_loss(folder / LOG_NAME, cell.config.training.updates),
        spent=_spent(folder),
    )


def _loss(log: Path, updates: int) -> float:
    """Mean loss in the last tenth of the training; for DM-H only the part that the other systems have as well."""
    with named_faults(log), log.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["update"]) > 0.9 * updates]
    return sum(float(row.get("memory") or row["loss"]) for row in rows) / len(rows)


def _try_out(folder: Path, trial: Trial) -> Evaluation:
    task = tasks.find(trial.task)
    checkpoint = engines.moved(Checkpoint.load(folder), task.spec)
    contract = draft_contract(checkpoint, folder, task.spec.name)

    def open_session(batch: int) -> Session:
        if trial.exported:
            return engines.session(checkpoint, batch)
        return TorchSession(checkpoint.build(), contract, batch)

    held_out = checkpoint.header.config.data.hold_out
    hidden = validation_ids(task.train_ids, held_out) if trial.validation else task.test_ids
    return evaluate(
        open_session,
        Arena.of(task, hidden[: trial.tasks]),
        trial.episodes,
        range(trial.seeds),
        trial.deterministic,
        alone=trial.alone,
    )


def _trained(folder: Path, config: RunConfig) -> bool:
    newest = folder / CHECKPOINT_NAME
    return newest.exists() and Checkpoint.load(newest).header.step >= config.training.updates


def _trial_file(folder: Path, trial: Trial) -> Path:
    return folder / f"trial-{_digest(trial)}.json"


def _digest(spec: Spec) -> str:
    return hashlib.sha256(spec.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:10]


def _spent(folder: Path) -> Spent:
    file = folder / "spent.json"
    if not file.exists():  # no work was done here yet
        return Spent(machine=machine(), versions=versions(), seconds=0)
    return parse(Spent, file.read_text(encoding="utf-8"), str(file))


@contextlib.contextmanager
def _clocked(folder: Path) -> Iterator[None]:
    """Add the time of this work to the cell's file, also if the work is interrupted."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = _spent(folder).seconds + time.monotonic() - began
        spent = Spent(machine=machine(), versions=versions(), seconds=seconds)
        write_text(folder / "spent.json", spent.model_dump_json(indent=1) + "\n")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The operating system releases it when the process ends, even after a crash."""
    with named_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _messages_to(file: Path) -> Iterator[None]:
    """Write messages to a file: on the terminal the progress of several cells would be mixed up."""
    with named_faults(file):
        messages = file.open("a", encoding="utf-8")
    with messages, contextlib.redirect_stderr(messages):
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Give PyTorch one thread: one cell on each core is faster than one cell at a time on all cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
