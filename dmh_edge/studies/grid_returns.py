"""The results of the studies on Grid World: which rows their CSV files have, and how they are read.

A row of returns has one column per episode. It holds the returns of one policy with one training seed on one hidden
task, each the mean over the passes of the trial. A row of any other quantity holds one number in the column ``value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dmh_edge.evaluate import Returns
from dmh_edge.studies.cell import Outcome
from dmh_edge.studies.results import Results

#: Episodes at the end of a trial that a policy is judged by.
LAST = 3

#: Names of the quantities. With the memory zeroed, only the returns of the last episodes are kept.
RETURN, ZEROED = "return", "return, memory zeroed at each episode"
LOSS, MINUTES, CORRELATION = "loss", "minutes", "correlation of loss and return"
#: Agents that were not trained. Their rows have no training seed, because they do the same in every trial of a task.
YARDSTICKS = ("expert", "random")
_POLICY, _ZEROED, _EXPERT = range(3)  # positions in the curves of an evaluation


class GridReturns:
    """What a study on Grid World found, by task, policy and quantity.

    Args:
        results: table with the columns of `results_of`.
    """

    def __init__(self, results: Results) -> None:
        self._rows: dict[tuple[str, str, str], list[dict[str, str]]] = {}
        self._episodes = [column for column in results.columns if column.startswith("episode_")]
        for record in results.records():
            key = record["task"], record["policy"], record["quantity"]
            self._rows.setdefault(key, []).append(record)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(task for task, _, _ in self._rows))

    def policies(self, task: str) -> list[str]:
        """Names of the policies that were trained on a task."""
        return [
            policy
            for of, policy, quantity in self._rows
            if (of, quantity) == (task, RETURN) and policy not in YARDSTICKS
        ]

    def returns(self, task: str, policy: str, quantity: str = RETURN) -> Returns:
        """Returns ``[training seeds, hidden tasks, episodes]``, means over the passes."""
        rows = self._rows[task, policy, quantity]
        seeds = len({row["training_seed"] for row in rows})
        values = [[float(row[episode]) for episode in self._episodes if row[episode]] for row in rows]
        return np.array(values).reshape(seeds, len(rows) // seeds, -1)

    def yardstick(self, task: str, name: str) -> Returns:
        """Returns of the expert or of a random policy, the same for each training seed of the task."""
        seeds = len(self.returns(task, self.policies(task)[0]))
        return self.returns(task, name).repeat(seeds, 0)

    def value(self, task: str, policy: str, quantity: str) -> float | None:
        """The number of a policy, or of a task where ``policy`` is empty; None if its cell is empty."""
        (row,) = self._rows[task, policy, quantity]
        return float(row["value"]) if row["value"] else None


def results_of(rows: Iterable[Sequence[object]], episodes: int) -> Results:
    """A table of rows with returns and rows with values."""
    columns = ("task", "policy", "quantity", "training_seed", "hidden", "value")
    width = len(columns) + episodes
    padded = ((*row, *[""] * (width - len(row))) for row in rows)
    return Results.of((*columns, *(f"episode_{number}" for number in range(1, episodes + 1))), padded)


def return_rows(outcomes: Iterable[Outcome]) -> Iterator[tuple[object, ...]]:
    """Rows with the returns of the policies in every episode."""
    for one in outcomes:
        yield from _rows(one, _POLICY, (one.cell.name, RETURN, one.cell.seed))


def zeroed_rows(outcomes: Iterable[Outcome]) -> Iterator[tuple[object, ...]]:
    """Rows with the returns of the same policies in the last episodes, with their memory zeroed at each episode."""
    for one in outcomes:
        skipped = max(0, episodes_of(one) - LAST)
        yield from _rows(one, _ZEROED, (one.cell.name, ZEROED, one.cell.seed), skipped)


def yardstick_rows(outcomes: Iterable[Outcome]) -> Iterator[tuple[object, ...]]:
    """Rows with the returns of the expert and of a random policy, once for each task."""
    one_of_each: dict[str, Outcome] = {}
    for one in outcomes:
        one_of_each.setdefault(one.cell.task, one)
    for one in one_of_each.values():
        for curve, name in enumerate(YARDSTICKS, _EXPERT):
            yield from _rows(one, curve, (name, RETURN, ""))


def value_row(task: str, policy: str, quantity: str, value: float | None) -> tuple[object, ...]:
    """A row with one number of a policy or of a task; None leaves the cell empty."""
    return task, policy, quantity, "", "", "" if value is None else value


def episodes_of(outcome: Outcome) -> int:
    """Number of episodes of its first trial."""
    return len(outcome.evaluations[0].curves[_POLICY].per_episode)


def _rows(
    outcome: Outcome, curve: int, labels: tuple[str, str, int | str], skipped: int = 0
) -> Iterator[tuple[object, ...]]:
    """One row per hidden task.

    Args:
        outcome: cell of one policy and its results.
        curve: position of the agent in the curves of the evaluation.
        labels: policy, quantity and training seed.
        skipped: episodes at the start that are left empty.
    """
    found = outcome.evaluations[0]
    means = np.array(found.curves[curve].returns).mean(0)  # [hidden tasks, episodes]
    for hidden, row in zip(found.hidden, means, strict=True):
        yield outcome.cell.task, *labels, hidden, "", *[""] * skipped, *row[skipped:].tolist()
