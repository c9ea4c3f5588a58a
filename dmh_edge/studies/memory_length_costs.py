"""What a step and an update cost in T-maze, by memory length. Steps run through the exported graphs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.data.generate import generated
from dmh_edge.learner import Learner
from dmh_edge.lessons.histories import Histories
from dmh_edge.models.build import build
from dmh_edge.presets import load
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.schema import Spec
from dmh_edge.studies import engines
from dmh_edge.studies.memory_length_plan import CONSTANT, LENGTHS, SYSTEMS, wanted_settings
from dmh_edge.studies.stopwatch import Side, Times, endless_episode, in_turns
from dmh_edge.studies.study import Budget
from dmh_edge.studies.workers import spawning

_ROUNDS = {"smoke": 2, "cpu": 20, "full": 100}
#: Steps of a turn: many, but few for dt above the memory length `_LONG`, where each of its steps takes long.
_MANY, _FEW, _LONG = 20, 4, 5_000
#: Lengths at which one update is measured. dt has two: a power law through them estimates the longer lengths.
_PROBED: dict[Budget, dict[str, tuple[int, ...]]] = {
    "smoke": {"dt": (4, 8)},
    "cpu": {"dm-h": (1_000, 20_000, 100_000), "dm": (1_000, 20_000), "dt": (1_000, 5_000)},
    "full": {"dm-h": (1_000, 20_000, 100_000), "dm": (1_000, 20_000), "dt": (1_000, 5_000)},
}


class AtLength(Spec):
    """Sizes of states and times of steps at one memory length."""

    length: int
    """Memory length L in steps."""
    state_bytes: dict[str, int]
    """Bytes of the state of one robot, by system."""
    sides: list[Times]
    """Times of a step, by system."""


class Probe(Spec):
    """Time and memory of one update with one context, which is one episode in the whole corridor."""

    system: str
    """Kind of model."""
    length: int
    """Memory length L in steps."""
    seconds: float
    """Seconds of the update, on one thread."""
    gigabytes: float
    """Largest memory of the process in GB, including the data set and PyTorch itself."""


class Costs(Spec):
    """Measured costs of steps and updates."""

    steps: list[AtLength]
    """Sizes of states and times of steps, by length."""
    probes: list[Probe]
    """Time and memory of updates."""


def measure(budget: Budget, say: Callable[[str], None]) -> Costs:
    """Time steps and updates."""
    probes = []
    for model, lengths in _PROBED[budget].items():
        for length in lengths:
            say(f"timing an update of {model} at a memory length of {length:,}")
            with ProcessPoolExecutor(1, spawning()) as fresh:  # a new process has only its own memory
                probes.append(fresh.submit(_probe, budget, model, length).result())
    steps = []
    kept: dict[str, OrtSession] = {}
    for length in LENGTHS[budget]:
        say(f"timing steps at a memory length of {length:,}")
        spec = tasks.find(f"tmaze-{length}").spec
        sides, state = {}, {}
        for model in SYSTEMS:
            config = load(spec.name, model, None, wanted_settings(budget, model, length)).model
            if model not in kept or model not in CONSTANT:  # those in CONSTANT have the same graphs at every length
                kept[model] = engines.session(Checkpoint.untrained(config, spec))
            state[model] = sum(tensor.zeros(1).nbytes for tensor in build(config, spec).model_spec().state)
            turn = _FEW if model == "dt" and length > _LONG else _MANY
            sides[model] = Side(endless_episode(kept[model]), turn, _ROUNDS[budget])
        steps.append(AtLength(length=length, state_bytes=state, sides=in_turns(sides)))
    return Costs(steps=steps, probes=probes)


def _probe(budget: Budget, model: str, length: int) -> Probe:
    torch.set_num_threads(1)
    task = tasks.find(f"tmaze-{length}")
    run = load(task.spec.name, model, None, (*wanted_settings(budget, model, length), "data.batch=1"))
    lessons = Histories(run, generated(task), task.train_ids)
    learner = Learner(run, lessons.first, torch.device("cpu"))
    whole = next(drawn for drawn in map(lessons.stage(learner).draw, itertools.count()) if drawn.valid.sum() > length)
    began = time.perf_counter()
    learner.update(whole)
    return Probe(system=model, length=length, seconds=time.perf_counter() - began, gigabytes=_most_memory() / 1e9)


def _most_memory() -> int:
    """Largest memory of this process in bytes. (The value of `resource` starts with the memory of its parent.)"""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return 1024 * int(kilobytes)


def estimate(probes: Sequence[Probe], length: int) -> tuple[float, float]:
    """Estimate the seconds and gigabytes of an update by the power law through two measured updates."""
    one, two = probes
    stretch = math.log(length / one.length) / math.log(two.length / one.length)
    return (
        one.seconds * (two.seconds / one.seconds) ** stretch,
        one.gigabytes * (two.gigabytes / one.gigabytes) ** stretch,
    )
