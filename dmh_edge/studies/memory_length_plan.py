"""What the study of T-maze trains and tries: which system at which memory length, and how long."""

from __future__ import annotations

from typing import Any

from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.study import FULL, SMOKE, Budget, settings

SYSTEMS = ("dm-h", "dm", "dt")
#: Systems whose state has the same size at every length: weights from one length are the same policy at another.
CONSTANT = ("dm-h", "dm")
LENGTHS = {"smoke": (4, 8), "cpu": (1_000, 5_000, 20_000, 100_000), "full": (1_000, 5_000, 20_000, 100_000)}
#: Lengths at which each system is trained, on the corridor of that length and on its halves.
TRAINED: dict[Budget, dict[str, tuple[int, ...]]] = {
    "smoke": {"dm-h": (4,), "dm": (4,), "dt": (4,)},
    "cpu": {"dm-h": (20_000,), "dm": (1_000,), "dt": (1_000,)},
    "full": {"dm-h": (100_000,), "dm": (1_000, 5_000, 20_000), "dt": (1_000, 5_000)},
}
SEEDS = {"smoke": 1, "cpu": 3, "full": 3}
EPISODES = {"smoke": 1, "cpu": 2, "full": 20}
#: Contexts per update, updates, and the highest learning rate of the budget `cpu`. The updates are 1.5 times
#: what one to three trials of each system needed to learn.
_CPU = {"dm-h": (2, 1_000, 1e-3), "dm": (16, 700, 2e-3), "dt": (8, 400, 1e-3)}


def serves(budget: Budget, model: str, length: int) -> int | None:
    """The training length of the weights that are tried at ``length``; None if no weights serve this length."""
    trained = TRAINED[budget][model]
    if length in trained:
        return length
    return trained[-1] if model in CONSTANT else None


def cells(budget: Budget, model: str) -> list[Cell]:
    """The policies of a system, each tried at every length that it serves."""
    made = []
    for length in TRAINED[budget][model]:
        trials = tuple(
            Trial(
                task=f"tmaze-{tried}",
                tasks=2,
                episodes=EPISODES[budget],
                seeds=1,
                deterministic=True,
                exported=budget != "smoke",  # `smoke` has no time for an export
                alone=True,
            )
            for tried in LENGTHS[budget]
            if serves(budget, model, tried) == length
        )
        task, wanted = f"tmaze-{length}", wanted_settings(budget, model, length)
        made += [
            Cell(name=model, task=task, model=model, settings=wanted, seed=seed, trials=trials)
            for seed in range(SEEDS[budget])
        ]
    return made


def wanted_settings(budget: Budget, model: str, length: int) -> tuple[str, ...]:
    """Settings that differ from the preset's, at a memory length."""
    changes: dict[str, Any]
    if budget == "smoke":
        changes = SMOKE | {"data.episodes_per_context": 1, "model.chunk": 2}
    elif budget == "cpu":
        batch, updates, rate = _CPU[model]
        changes = {
            "data.batch": batch,
            "training.updates": updates,
            "training.learning_rate": rate,
            "training.device": "cpu",
        }
    else:
        changes = FULL | {"data.batch": max(1, min(128, 640_000 // length)), "training.updates": 10_000}
    return settings(f"tmaze-{length}", model, changes)
