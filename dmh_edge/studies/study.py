"""A study: for a budget, it trains and measures what is missing; its page is computed from the results.

smoke   seconds: all parts of the study, at sizes that prove nothing; the tests use it
cpu     what two cores do in at most three hours
full    the paper's sizes and updates, for a GPU
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from dmh_edge.errors import DmhEdgeError
from dmh_edge.files import write_text
from dmh_edge.presets import load
from dmh_edge.schema import Spec, parse
from dmh_edge.studies.cell import Cell, Outcome, Spent, finish, outcome
from dmh_edge.studies.machine import machine, versions
from dmh_edge.studies.results import Results
from dmh_edge.studies.study_page import Page
from dmh_edge.studies.workers import live_and_die_with_the_parent, spawning

Budget: TypeAlias = Literal["smoke", "cpu", "full"]
S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Study:
    """A claim of the paper, and how it is tested.

    Attributes:
        name: name of the study on the command line.
        find: trains and measures in a workshop what the budget says; returns the rows of the CSV file.
        page: computes the page of a budget from these results alone.
    """

    name: str
    find: Callable[[Budget, Workshop], Results]
    page: Callable[[Budget, Results], Page]


@dataclass
class Workshop:
    """A place where the parts of a study are made, each of them once.

    Attributes:
        work: folder of all cells.
        jobs: number of cells at the same time; with more than one, each cell has a process of its own.
        say: function that receives the messages about progress.
        spent: machine, versions and time of everything that the study uses, whether it was made now or earlier.
    """

    work: Path
    jobs: int
    say: Callable[[str], None]
    spent: list[Spent] = field(default_factory=list)

    def finish(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Finish the cells that are not finished yet, ``jobs`` of them at the same time.

        If this is interrupted, by Ctrl-C for example, finished cells are kept and the next call continues the others.

        Raises:
            DmhEdgeError: a cell cannot be finished.
        """
        left = [cell for cell in cells if not cell.finished(self.work)]
        if done := len(cells) - len(left):
            self.say(f"{done} of {len(cells)} policies are already finished")
        began = time.monotonic()
        for number, (cell, seconds) in enumerate(self._each(left), 1):
            rest = (time.monotonic() - began) / number * (len(left) - number)
            self.say(
                f"{done + number} of {len(cells)}: {cell} took {seconds:.0f} s; {len(left) - number} left, about "
                f"{rest / 60:.0f} min"
            )
        outcomes = [outcome(cell, self.work) for cell in cells]
        self.spent += [one.spent for one in outcomes]
        return outcomes

    def kept(self, name: str, kind: type[S], measure: Callable[[], S]) -> S:
        """Return what was measured under this name before, or measure it now and keep it.

        Raises:
            ContractError: a file that was kept is truncated or altered.
        """
        file, note = self.work / f"{name}.json", self.work / f"{name}.spent.json"
        if not (file.exists() and note.exists()):
            began = time.monotonic()
            found = measure()
            spent = Spent(machine=machine(), versions=versions(), seconds=time.monotonic() - began)
            write_text(file, found.model_dump_json(indent=1) + "\n")
            write_text(note, spent.model_dump_json(indent=1) + "\n")
        else:
            self.say(f"{file} exists: delete it to measure again")
        self.spent.append(parse(Spent, note.read_text(encoding="utf-8"), str(note)))
        return parse(kind, file.read_text(encoding="utf-8"), str(file))

    def _each(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, float]]:
        """Finish the cells, and yield each finished cell with the seconds that it took."""
        if self.jobs == 1:
            for cell in cells:
                yield cell, _timed(cell, self.work)
            return
        pool = ProcessPoolExecutor(self.jobs, spawning(), live_and_die_with_the_parent)
        waiting, running = list(reversed(cells)), dict[Future[float], Cell]()
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:  # no more: a cell that the pool has cannot be taken back
                    cell = waiting.pop()
                    running[pool.submit(_timed_in_its_process, cell, self.work)] = cell
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    cell = running.pop(future)
                    try:
                        seconds = future.result()
                    except BrokenProcessPool as error:
                        raise DmhEdgeError(
                            f"a process was killed, perhaps because memory ran out, while these cells were made: {cell}"
                            f"{''.join(f', {other}' for other in running.values())}; finished cells are kept: try "
                            "again with --jobs 1"
                        ) from error
                    yield cell, seconds
        finally:
            for process in multiprocessing.active_children() if running else ():
                process.terminate()
            pool.shutdown(cancel_futures=True)


def settings(task: str, model: str, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the wanted settings that the model has, in the form of ``--set``."""
    known = load(task, model).model_dump()
    return tuple(
        f"{name}={value}" for name, value in wanted.items() if (parts := name.split("."))[1] in known[parts[0]]
    )


#: The smallest models, and too few updates to learn anything.
SMOKE = {
    "model.width": 8,
    "model.heads": 2,
    "model.layers": 1,
    "model.memory_layers": 1,
    "model.actor_layers": 1,
    "model.state_size": 2,
    "model.subgoal_size": 4,
    "model.window_episodes": 2,
    "data.batch": 2,
    "data.episodes_per_context": 2,
    "training.updates": 2,
    "training.log_every": 1,
    "training.checkpoint_every": 1,
    "training.device": "cpu",
}
#: Settings of the paper: its table of hyperparameters, and the largest number of updates in its released code.
FULL = {
    "model.width": 128,
    "model.layers": 3,
    "model.memory_layers": 2,
    "model.actor_layers": 3,
    "model.state_size": 16,
    "model.subgoal_size": 16,
    "model.dropout": 0.1,
    "data.batch": 128,
    "training.updates": 100_000,
    "training.learning_rate": 1e-4,
    "training.schedule": "constant",
    "training.warm_up": 1_000,
    "training.log_every": 100,
    "training.checkpoint_every": 1_000,
}


def by_name(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    """Group outcomes by task and name, all seeds together, in the order in which they are given."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.cell.task, one.cell.name), []).append(one)
    return groups


def _timed(cell: Cell, work: Path) -> float:
    began = time.monotonic()
    finish(cell, work)
    return time.monotonic() - began


def _timed_in_its_process(cell: Cell, work: Path) -> float:
    try:
        return _timed(cell, work)
    except SystemExit:  # SIGTERM: this process would wait for another cell
        os._exit(1)
