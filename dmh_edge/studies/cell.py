"""A cell of a study: one policy, trained and tried. What is done is not done again, whichever study asks.

WORK/TASK/MODEL-DIGEST/     named by its settings, with others it is another cell; those with a default only where they
                            are not as by default, so that a setting that is new makes no cell another
    config.json, checkpoint.safetensors, log.csv, tensorboard/     the run, as `dmh-edge train` leaves it
    trial-DIGEST.json       what a trial found: an `Evaluation`
    spent.json              on which machine, and how long it took
    messages.txt            what training and export said
    lock                    held by the process that works here
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
from dmh_edge.evaluate import Evaluation, evaluate
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
    """How a trained policy is tried, without any update."""

    task: str
    """Name of the task; its length may differ from that of the task trained on."""
    tasks: int = Field(ge=1)
    """Number of held-out hidden tasks, at most."""
    validation: bool = False
    """Whether the hidden tasks are those that the run kept from its data to choose settings on."""
    episodes: int = Field(ge=1)
    """Episodes in a row on each hidden task."""
    seeds: int = Field(ge=1)
    """Passes over all of them."""
    deterministic: bool = False
    """Whether actions are chosen without noise."""
    exported: bool = False
    """Through ONNX Runtime; else stepped by PyTorch."""
    alone: bool = False
    """Whether the policy is tried without its forgetful twin, the expert and a random policy beside it."""


class Cell(Spec):
    """One policy of a study."""

    name: str
    """Name on the study's page, the same for all seeds."""
    task: str
    """Name of the task that it is trained on."""
    model: str
    """Kind of model."""
    settings: tuple[str, ...]
    """Settings that differ from the preset's, as `dmh-edge train --set` takes them."""
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
        """Whether nothing is left to do."""
        return all(_trial_file(self.folder(work), trial).exists() for trial in self.trials)


class Spent(Spec):
    """What something cost."""

    machine: str
    """Machine that did the last part of it."""
    versions: str
    """Versions of what did it."""
    seconds: float = Field(ge=0)
    """Seconds of all parts together."""


class Outcome(Spec):
    """A cell that is done."""

    cell: Cell
    """The cell."""
    evaluations: tuple[Evaluation, ...]
    """What its trials found, in their order."""
    loss: float
    """Loss in the last tenth of its training; for DM-H the part with the sub-goals of its own memory."""
    spent: Spent
    """What it cost."""


def finish(cell: Cell, work: Path) -> Outcome:
    """Do what is left of a cell, on one thread; a second process that wants the same cell waits for the first.

    Raises:
        DmhEdgeError: it cannot be trained, or a file cannot be written.
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
    """What a finished cell found, from its files.

    Raises:
        ContractError: a file is truncated or altered.
        ConfigError: it was made when other settings were the defaults.
    """
    folder = cell.folder(work)
    if changed := differences(load(cell.task, cell.model, folder / CONFIG_NAME), cell.config):
        raise ConfigError(f"{folder} was made with other defaults: {'; '.join(changed)}. Delete it to make it anew")
    files = [_trial_file(folder, trial) for trial in cell.trials]
    return Outcome(
        cell=cell,
        evaluations=tuple(parse(Evaluation, file.read_text(encoding="utf-8"), str(file)) for file in files),
        loss=_loss(folder / LOG_NAME, cell.config.training.updates),
        spent=_spent(folder),
    )


def _loss(log: Path, updates: int) -> float:
    """Mean of the loss that all systems have; where a policy learns two things at once, only that part of the loss."""
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
        task,
        hidden[: trial.tasks],
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
    if not file.exists():  # nothing was done here before
        return Spent(machine=machine(), versions=versions(), seconds=0)
    return parse(Spent, file.read_text(encoding="utf-8"), str(file))


@contextlib.contextmanager
def _clocked(folder: Path) -> Iterator[None]:
    """Add to what the cell has cost, also where the work is cut short."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = _spent(folder).seconds + time.monotonic() - began
        spent = Spent(machine=machine(), versions=versions(), seconds=seconds)
        write_text(folder / "spent.json", spent.model_dump_json(indent=1) + "\n")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of however the process ends."""
    with named_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _messages_to(file: Path) -> Iterator[None]:
    """Progress of one cell would only hide that of the others."""
    with named_faults(file):
        messages = file.open("a", encoding="utf-8")
    with messages, contextlib.redirect_stderr(messages):
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for PyTorch: so many cells at once as there are cores are done sooner than one after the other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
