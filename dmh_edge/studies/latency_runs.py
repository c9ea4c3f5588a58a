"""The policy of the study of latency, and its runs in real time with latency, jitter or actuator delay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.evaluate import Arena, Evaluation, evaluate
from dmh_edge.export.pipeline import draft_contract, export_unproved
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.presets import load
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import Spec
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.rehearsal import Added, Option, Rehearsal, RehearsedRun, stage
from dmh_edge.studies.study import FULL, SMOKE, Budget, Workshop, settings

TASK, MODEL = "dark-reacher", "dm-h"
#: Hidden targets, and episodes in a row on each of them.
TRIALS: Mapping[Budget, tuple[int, int]] = {"smoke": (1, 1), "cpu": (16, 3), "full": (16, 20)}
_MS = (5, 10, 20, 30, 40, 60, 80, 120)
_MILLISECONDS: Mapping[Budget, Mapping[Option, Sequence[float]]] = {
    "smoke": {"latency_s": (120,), "jitter_s": (40,), "actuator_delay_s": (40,)},
    "cpu": {"latency_s": _MS, "jitter_s": _MS, "actuator_delay_s": _MS},
    "full": {"latency_s": _MS, "jitter_s": _MS, "actuator_delay_s": _MS},
}
_SETTINGS: Mapping[Budget, Mapping[str, Any]] = {
    "smoke": SMOKE | {"model.chunk": 5},
    "cpu": {"training.updates": 1_600, "training.device": "cpu"},
    "full": FULL,
}
#: Runs at the same time per job: each run uses a part of a core only, mostly to start its processes.
_ARMS = 2
_NOTHING = Added(option="latency_s", seconds=0)


class Measured(Spec):
    """The runs with one amount of latency, jitter or actuator delay."""

    added: Added
    """What was added, and how much."""
    runs: tuple[RehearsedRun, ...]
    """One run per hidden target."""
    as_exported: RehearsedRun
    """A run on the first target with the unchanged contract."""


@dataclass(frozen=True)
class Trained:
    """The policy of the study.

    Attributes:
        checkpoint: weights of the policy.
        lockstep: trial of the policy in an environment whose time stands still while the policy computes.
        place: folder of the measurements, relative to the work folder.
    """

    checkpoint: Checkpoint
    lockstep: Evaluation
    place: Path


def planned(budget: Budget) -> Cell:
    """The cell that trains the policy and tries it in lockstep."""
    targets, episodes = TRIALS[budget]
    trial = Trial(task=TASK, tasks=targets, episodes=episodes, seeds=1, exported=True)
    wanted = settings(TASK, MODEL, _SETTINGS[budget])
    return Cell(name=MODEL, task=TASK, model=MODEL, settings=wanted, seed=0, trials=(trial,))


def train(budget: Budget, workshop: Workshop) -> Trained:
    """Train the policy; with the budget `smoke` it stays untrained, because the data of an arm takes a minute."""
    targets, episodes = TRIALS[budget]
    cell = planned(budget)
    place = cell.folder(Path())
    if budget != "smoke":
        (outcome,) = workshop.finish([cell])
        return Trained(Checkpoint.load(cell.folder(workshop.work)), outcome.evaluations[0], place)
    task = tasks.find(TASK)
    checkpoint = Checkpoint.untrained(load(TASK, MODEL, None, cell.settings).model, task.spec)

    def stepped(batch: int) -> TorchSession:  # an export would take longer than all the rest
        return TorchSession(checkpoint.build(), draft_contract(checkpoint, place, TASK), batch)

    def lockstep() -> Evaluation:
        return evaluate(stepped, Arena.of(task, task.test_ids[:targets]), episodes, [0])

    return Trained(checkpoint, workshop.kept(str(place / "lockstep"), Evaluation, lockstep), place)


def measure(budget: Budget, workshop: Workshop, trained: Trained) -> list[Measured]:
    """Measure with nothing added, then with each amount; each result is kept as soon as it is measured."""
    targets, episodes = TRIALS[budget]
    hidden = tasks.find(TASK).test_ids[:targets]
    added = [_NOTHING] + [
        Added(option=option, seconds=ms / 1000)
        for option, levels in _MILLISECONDS[budget].items()
        for ms in sorted(levels)
    ]
    with tempfile.TemporaryDirectory() as scratch, stage(_ARMS * workshop.jobs) as perform:

        @cache
        def policy() -> Policy:  # exported only where something is left to measure
            return export_unproved(trained.checkpoint, Path(scratch), TASK)

        def measuring(one: Added) -> Callable[[], Measured]:
            def measured() -> Measured:
                workshop.say(f"{one.option} of {one.milliseconds:g} ms: {targets} targets in real time")
                asked = [Rehearsal(policy(), TASK, one, number, episodes) for number in hidden]
                asked.append(Rehearsal(policy(), TASK, one, hidden[0], episodes, as_exported=True))
                *runs, as_exported = perform(asked)
                return Measured(added=one, runs=tuple(runs), as_exported=as_exported)

            return measured

        return [
            workshop.kept(
                str(trained.place / f"{one.option}-{one.milliseconds:g}ms-{targets}x{episodes}"),
                Measured,
                measuring(one),
            )
            for one in added
        ]
