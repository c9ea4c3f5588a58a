"""A fake session: a policy of a few lines of numpy, for tests of loops, robots and records without an engine.

It has what a real policy has: two graphs, of which one runs every few ticks, state, noise, and an output for each kind
of action. Its proposal depends on all inputs, so that a replay with one wrong input gives another result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec, ModelSpec, PolicyContract, Provenance, TensorSpec
from dmh_edge.errors import ContractError
from dmh_edge.runtime.sessions.schedule import TICKS, Schedule
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.task import ContinuousAction, TaskSpec, bounds_of

_EVERY = 5  # ticks between two runs of the slow graph


@dataclass(frozen=True)
class FakePolicy:
    """A policy without a folder, which passes every self-test; see `RunnablePolicy`.

    Attributes:
        sha256: text that stands for the policy's identity.
        tested: function that is called in place of a self-test.
    """

    sha256: str = "fake"
    tested: Callable[[], object] = lambda: None

    def self_test(self, session: Session) -> None:  # noqa: ARG002 (there is nothing to compare it with)
        """Call `tested`."""
        self.tested()


def fake_contract(task: TaskSpec) -> PolicyContract:
    """The contract of the fake policy for a task."""
    continuous = isinstance(task.action, ContinuousAction)
    action = ("float32", ("batch", task.action.size)) if continuous else ("int64", ("batch",))
    size = len(task.observation)
    return PolicyContract(
        name="fake",
        task=task,
        model=ModelSpec(
            kind="fake",
            sizes={},
            world=(
                TensorSpec(name="observation", dtype="float32", shape=("batch", size)),
                TensorSpec(name="reward", dtype="float32", shape=("batch",)),
                TensorSpec(name="previous_action", dtype=action[0], shape=action[1]),
                TensorSpec(name="episode_start", dtype="bool", shape=("batch",)),
                TensorSpec(name="target_return", dtype="float32", shape=("batch",)),
                TensorSpec(name="noise", dtype="float32", shape=("batch", task.action.size)),
            ),
            state=(
                TensorSpec(name="goal", dtype="float32", shape=("batch", task.action.size)),
                TensorSpec(name="heard", dtype="float32", shape=("batch", task.action.size)),
            ),
            outputs=(TensorSpec(name="action", dtype=action[0], shape=action[1]),),
            graphs=(
                GraphSpec(
                    name="memory",
                    file="model.memory.onnx",
                    every=_EVERY,
                    restart_on="episode_start",
                    inputs=("reward", "target_return", "heard"),
                    outputs=("goal_next",),
                ),
                GraphSpec(
                    name="actor",
                    file="model.onnx",
                    inputs=("observation", "reward", "previous_action", "episode_start", "noise", "goal", "heard"),
                    outputs=("action", "heard_next"),
                ),
            ),
        ),
        files={},
        provenance=Provenance(
            code_version="0",
            config={},
            checkpoint="",
            weights_sha256="0" * 64,
            data_sha256="0" * 64,
            training_steps=0,
        ),
    )


class FakeSession:
    """Computes the fake policy; see `Session`.

    Args:
        contract: contract that `fake_contract` made.
        batch: number of robots B.
    """

    backend = "fake"

    def __init__(self, contract: PolicyContract, batch: int = 1) -> None:
        self.contract = contract
        self.batch = batch
        self._schedule = Schedule(contract.model.graphs, batch)
        self._state = {spec.name: spec.zeros(batch) for spec in contract.model.state}
        self._proposal: dict[str, NDArray[Any]] = dict(self._state)
        self._outputs: dict[str, NDArray[Any]] = {}

    def step(self, world: Arrays) -> Arrays:
        """Propose one tick."""
        memory_due, _ = self._schedule.propose(world["episode_start"])
        goal, heard = self._state["goal"], self._state["heard"]
        if memory_due:
            goal = np.tanh(heard + world["target_return"][:, None] + world["reward"][:, None])
        shown = world["observation"].sum(-1) + world["reward"] + world["episode_start"]
        told = world["previous_action"].reshape(self.batch, -1).sum(-1)
        drive = np.float32(0.5) * heard + np.float32(0.1) * np.sin(shown + told)[:, None] + world["noise"]
        self._proposal = {"goal": goal.astype(np.float32), "heard": np.tanh(drive).astype(np.float32)}
        self._outputs = {"action": self._choose(np.tanh(goal + drive))}
        return self._outputs

    @property
    def ran(self) -> list[bool]:
        """Whether the last `step` ran each graph."""
        return self._schedule.due

    def proposal_is_finite(self) -> bool:
        """Whether outputs and proposed state are finite."""
        return all(bool(np.isfinite(array).all()) for array in (*self._proposal.values(), *self._outputs.values()))

    def commit(self) -> None:
        """Adopt the proposal."""
        self._state = self._proposal
        self._schedule.commit()

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Zero the state of some rows, or of all."""
        chosen = np.ones(self.batch, np.bool_) if rows is None else rows
        self._state = {name: np.where(chosen[:, None], np.float32(0), array) for name, array in self._state.items()}
        self._schedule.ticks_in_episode[chosen] = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the committed state."""
        return {name: array.copy() for name, array in self._state.items()} | {
            TICKS: self._schedule.ticks_in_episode.copy()
        }

    def copy_state(self, target: Arrays) -> None:
        """Copy the tensors that ``target`` names into its arrays."""
        for name, array in target.items():
            np.copyto(array, self._schedule.ticks_in_episode if name == TICKS else self._state[name])

    def restore(self, state: Arrays) -> None:
        """Go on from what ``state`` returned."""
        for name, array in self.state().items():
            if name not in state or state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise ContractError(f"state {name!r}: expected {array.dtype} {list(array.shape)}")
        self._state = {name: np.array(state[name]) for name in self._state}
        self._schedule.ticks_in_episode[:] = state[TICKS]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _choose(self, shares: NDArray[Any]) -> NDArray[Any]:
        """Actions from ``[B, A]`` in -1 .. 1: scaled to the bounds, or the index of the largest."""
        spec = self.contract.task.action
        if not isinstance(spec, ContinuousAction):
            return np.asarray(shares.argmax(-1), np.int64)
        low, high = bounds_of(spec.elements)
        return np.asarray((low + high) / 2 + shares * (high - low) / 2, np.float32)
