"""The common part of all backends: the schedule, and two buffers per state tensor that swap at a commit.

Every state tensor is written by one graph, so one bit per graph says which buffer holds the committed value. A graph
that runs reads the newest value of each tensor - the value that an earlier graph of the same tick proposed, if there
is one - and writes its own tensors into the buffer that is not committed. A commit flips the bits of the graphs that
ran.

A backend adds how to run a graph, and how to move arrays to and from its buffers.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec, PolicyContract
from dmh_edge.errors import ContractError
from dmh_edge.runtime.sessions.schedule import TICKS, Schedule
from dmh_edge.runtime.sessions.session import Arrays

#: For each graph, which of the two buffers of the graph's own tensors is read.
View = tuple[int, ...]


class BufferedSession(ABC):
    """Base of the sessions.

    Args:
        contract: the policy's contract.
        batch: number of robots B, at least 1.
    """

    def __init__(self, contract: PolicyContract, batch: int) -> None:
        self.contract = contract
        self.batch = batch
        self._schedule = Schedule(contract.model.graphs, batch)
        self._committed: View = (0,) * len(contract.model.graphs)
        self._proposed: View = self._committed
        self._writer = {name: index for index, graph in enumerate(contract.model.graphs) for name in graph.writes}
        self._specs = {spec.name: spec for spec in contract.model.state}

    @property
    @abstractmethod
    def backend(self) -> str:
        """Name of the backend."""

    @abstractmethod
    def _feed(self, world: Arrays) -> None:
        """Copy the world tensors to where the graphs read them."""

    @abstractmethod
    def _run(self, index: int, view: View) -> None:
        """Run one graph on the buffers of ``view``; its own tensors go to the other buffer."""

    @abstractmethod
    def _outputs(self) -> Arrays:
        """The outputs of the graphs that ran, on the host, once they are complete."""

    @abstractmethod
    def _get(self, name: str, buffer: int) -> NDArray[Any]:
        """A state tensor on the host; can be a view."""

    @abstractmethod
    def _set(self, name: str, buffer: int, array: NDArray[Any]) -> None:
        """Overwrite a state tensor."""

    def close(self) -> None:  # noqa: B027 (a backend that holds nothing needs none)
        """Free what the backend holds. Idempotent."""

    def step(self, world: Arrays) -> Arrays:
        """Propose one tick; see `Session.step`."""
        self._feed(world)
        view = list(self._committed)
        for index, due in enumerate(self._schedule.propose(world["episode_start"])):
            if due:
                self._run(index, tuple(view))
                view[index] = 1 - view[index]
        self._proposed = tuple(view)
        return self._outputs()

    @property
    def ran(self) -> list[bool]:
        """Whether the last `step` ran each graph."""
        return self._schedule.due

    def proposal_is_finite(self) -> bool:
        """Whether outputs and proposed state are finite."""
        proposed = (
            self._get(name, self._proposed[writer])
            for name, writer in self._writer.items()
            if self._proposed[writer] != self._committed[writer]
        )
        return all_finite(itertools.chain(self._outputs().values(), proposed))

    def commit(self) -> None:
        """Adopt the proposal."""
        self._committed = self._proposed
        self._schedule.commit()

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Zero the state of some rows ``[B]``, or of all."""
        rows = np.ones(self.batch, np.bool_) if rows is None else rows
        self._schedule.ticks_in_episode[rows] = 0
        for name, writer in self._writer.items():
            state = self._get(name, self._committed[writer]).copy()
            np.moveaxis(state, self._specs[name].batch_axis, 0)[rows] = 0
            self._set(name, self._committed[writer], state)

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the committed state, with the schedule's counter."""
        state = {name: self._get(name, self._committed[writer]).copy() for name, writer in self._writer.items()}
        return state | {TICKS: self._schedule.ticks_in_episode.copy()}

    def copy_state(self, target: Arrays) -> None:
        """Copy the tensors that ``target`` names into its arrays."""
        for name, array in target.items():
            if name == TICKS:
                np.copyto(array, self._schedule.ticks_in_episode)
            else:
                np.copyto(array, self._get(name, self._committed[self._writer[name]]))

    def restore(self, state: Arrays) -> None:
        """Go on from what ``state`` returned; nothing changes unless all of it fits."""
        self._check_state(state)
        for name, writer in self._writer.items():
            self._set(name, self._committed[writer], state[name])
        self._schedule.ticks_in_episode[:] = state[TICKS]

    def _check_state(self, state: Arrays) -> None:
        expected = {name: spec.zeros(self.batch) for name, spec in self._specs.items()}
        expected[TICKS] = self._schedule.ticks_in_episode
        for name, array in expected.items():
            got = state.get(name)
            if got is None or got.shape != array.shape or got.dtype != array.dtype:
                found = "nothing" if got is None else f"{got.dtype} {list(got.shape)}"
                raise ContractError(f"state {name!r}: got {found}, expected {array.dtype} {list(array.shape)}")


def views(graphs: Iterable[GraphSpec]) -> list[View]:
    """Every combination of buffers that can occur in a tick."""
    return list(itertools.product((0, 1), repeat=len(list(graphs))))


def all_finite(arrays: Iterable[NDArray[Any]]) -> bool:
    """Whether no array contains a NaN, an infinity, or numbers so large that the sum of their squares is infinite."""
    for array in arrays:
        if array.dtype == np.float32:
            flat = array.reshape(-1)
            if not np.isfinite(np.dot(flat, flat)):  # several times as fast as isfinite().all(), and no allocation
                return False
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            return False
    return True
