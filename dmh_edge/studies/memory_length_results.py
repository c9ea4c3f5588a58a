"""The results of the study of T-maze: which rows its CSV file has, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dmh_edge.intervals import Interval
from dmh_edge.studies.bootstrap import interval
from dmh_edge.studies.cell import Outcome
from dmh_edge.studies.memory_length_costs import Costs, Probe
from dmh_edge.studies.results import Results
from dmh_edge.studies.stopwatch import Spread

COLUMNS = ("length", "system", "quantity", "training_seed", "value")
_SIGNS = ("return with sign 0", "return with sign 1")
_STATE = "state_bytes"
_MEDIAN, _LOWER, _UPPER = (
    "seconds_per_step",
    "seconds_per_step, lower quartile",
    "seconds_per_step, upper quartile",
)
_UPDATE_SECONDS, _UPDATE_MEMORY = "seconds_per_update_of_one_episode", "gigabytes_per_update_of_one_episode"


def results_of(outcomes: Sequence[Outcome], costs: Costs) -> Results:
    """Returns of every episode, sizes of states, and times of steps and updates."""
    return Results.of(COLUMNS, _rows(outcomes, costs))


class MemoryLengthResults:
    """What the study found, read from its results.

    Attributes:
        lengths: memory lengths at which steps were timed.
        probes: time and memory of updates.
    """

    lengths: list[int]
    probes: list[Probe]

    def __init__(self, results: Results) -> None:
        self._values: dict[tuple[str, int, str], list[tuple[str, float]]] = {}
        for row in results.records():
            key = row["system"], int(row["length"]), row["quantity"]
            self._values.setdefault(key, []).append((row["training_seed"], float(row["value"])))
        self.lengths = list(dict.fromkeys(length for _, length, quantity in self._values if quantity == _STATE))
        self.probes = [
            Probe(
                system=system,
                length=length,
                seconds=self._only(system, length, _UPDATE_SECONDS),
                gigabytes=self._only(system, length, _UPDATE_MEMORY),
            )
            for system, length, quantity in self._values
            if quantity == _UPDATE_SECONDS
        ]

    def success(self, system: str, length: int) -> Interval | None:
        """Share of the episodes that succeed, over training seeds and signs; None where no policy was tried."""
        if (system, length, _SIGNS[0]) not in self._values:
            return None
        by_sign = [self._values[system, length, sign] for sign in _SIGNS]
        seeds = len({seed for seed, _ in by_sign[0]})
        returns = [np.array([value for _, value in found]).reshape(seeds, -1) for found in by_sign]
        succeeded = np.stack(returns, 1) > 0.5  # [seeds, signs, episodes]: without success the return is 0 or less
        return interval(succeeded.astype(np.float64))

    def state_bytes(self, system: str, length: int) -> float:
        """Bytes of the state of one robot."""
        return self._only(system, length, _STATE)

    def step_s(self, system: str, length: int) -> Spread:
        """Seconds per step."""
        median, low, high = (self._only(system, length, quantity) for quantity in (_MEDIAN, _LOWER, _UPPER))
        return Spread(median, low, high)

    def _only(self, system: str, length: int, quantity: str) -> float:
        ((_, value),) = self._values[system, length, quantity]
        return value


def _rows(outcomes: Sequence[Outcome], costs: Costs) -> Iterator[tuple[object, ...]]:
    for one in outcomes:
        for found in one.evaluations:
            length = found.task.removeprefix("tmaze-")
            for hidden, row in zip(found.hidden, found.curves[0].returns[0], strict=True):
                for value in row:
                    yield length, one.cell.model, _SIGNS[hidden], one.cell.seed, round(value, 6)
    for at in costs.steps:
        for side in at.sides:
            spread = Spread.of(side.seconds)
            yield at.length, side.name, _STATE, "", at.state_bytes[side.name]
            yield at.length, side.name, _MEDIAN, "", f"{spread.median:.6g}"
            yield at.length, side.name, _LOWER, "", f"{spread.low:.6g}"
            yield at.length, side.name, _UPPER, "", f"{spread.high:.6g}"
    for probe in costs.probes:
        yield probe.length, probe.system, _UPDATE_SECONDS, "", f"{probe.seconds:.6g}"
        yield probe.length, probe.system, _UPDATE_MEMORY, "", f"{probe.gigabytes:.6g}"
