"""Robots that one policy moves, for a program of its own: everything that goes in is checked, what comes out is a copy.

A loop that has checked its readings before, as `runtime.loop` has, uses `runtime.sessions.agent` without this door.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmh_edge.errors import BackendError
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.runtime.sessions.state_file import load_state, save_state
from dmh_edge.task import DiscreteAction

#: Kinds of numpy element types that are taken for each element type of the contract, and what to call them.
_TAKEN = {"float32": ("fiu", "real numbers"), "int64": ("iu", "whole numbers"), "bool": ("b", "bool")}


@final
class PolicyAgent:
    """N robots that one policy moves; each has a memory of its own, which learns in context.

    `LoadedPolicy.agent` makes one. Every array has one row per robot. The agent copies what it is given, and what it
    returns belongs to the caller: no later call changes it. One thread at a time may use an agent.

    Args:
        session: what computes the policy for N robots; the agent closes it.
        policy_sha256: identity of the policy, to which saved memories belong.
        seed: seed of the noise that explores; None for no noise, which gives the likeliest action.
    """

    def __init__(self, session: Session, policy_sha256: str, seed: int | None = None) -> None:
        self._agent = Agent(session, seed)
        self._policy_sha256 = policy_sha256
        self._blank = np.ones(session.batch, np.bool_)  # robots that have not acted since they forgot everything
        self._must_start = np.ones(session.batch, np.bool_)  # robots whose next step is the first of an episode
        self._reward_due = 0.0  # what a loaded memory had not been told
        self._closed = False

    @property
    def robots(self) -> int:
        """Number of robots N."""
        return self._agent.session.batch

    def act(
        self,
        observation: ArrayLike,
        reward: ArrayLike,
        episode_start: ArrayLike,
        applied: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Choose the next action of every robot, and remember what was shown. Call it once per control period.

        A new episode does not end what a robot remembers; `forget` does. What a robot is told of the time before its
        memory was emptied, as reward and as applied action, is left out.

        Args:
            observation: ``[N, S]``, what each robot measures now, in the contract's order and units.
            reward: ``[N]``, the reward of the action before, also where that action ended an episode.
            episode_start: ``[N]`` bool, whether this is the first step of an episode.
            applied: the actions before as the robots really applied them, shaped as the actions are. None: as chosen.

        Returns:
            the actions: ``[N, A]`` float32, or ``[N]`` int64 where the policy chooses among some.

        Raises:
            ValueError: an array has another shape or element type or holds numbers that are not finite, an applied
                choice does not exist, a robot with a new memory does not start an episode, or the agent is closed.
            BackendError: the engine failed, or computed numbers that are not finite. No robot remembers this step.
        """
        self._require_open()
        shown = self._checked("observation", observation)
        rewards = self._checked("reward", reward)
        starts = self._checked("episode_start", episode_start)
        if (waiting := np.flatnonzero(self._must_start & ~starts)).size:
            raise ValueError(
                f"episode_start: got false for robots {waiting.tolist()}, which have not acted since their memory was "
                "made, emptied or loaded; expected true for their first step"
            )
        if applied is not None:
            taken = self._checked("previous_action", applied, called="applied")
            self._require_choices(taken)
            taken[self._blank] = 0
            self._agent.world["previous_action"][:] = taken
        rewards += np.float32(self._reward_due)
        rewards[self._blank] = 0
        action: NDArray[Any] = self._agent.propose(shown, rewards, starts)["action"].copy()
        if not self._agent.session.proposal_is_finite():
            raise BackendError(
                f"policy {self._agent.session.contract.name!r} computed numbers that are not finite, and no robot "
                "remembers this step. Observations far outside the contract's bounds can do that"
            )
        self._agent.commit(action)
        self._reward_due = 0.0
        self._blank[:] = self._must_start[:] = False
        return action

    def forget(self, rows: Sequence[int] | NDArray[np.bool_] | None = None) -> None:
        """Empty the memory of some robots. Their next step must start an episode.

        Args:
            rows: numbers of the robots, or a mask ``[N]`` of booleans; None for all of them.

        Raises:
            ValueError: there is no such robot, or the agent is closed.
        """
        self._require_open()
        forgetting = np.full(self.robots, rows is None)
        if rows is not None and len(rows) > 0:
            try:
                forgetting[np.asarray(rows)] = True
            except IndexError as error:
                raise ValueError(
                    f"rows: got {rows!r}, expected numbers of robots below {self.robots}, or a mask of {self.robots} "
                    "booleans"
                ) from error
        self._agent.forget(forgetting)
        self._blank |= forgetting
        self._must_start |= forgetting
        if forgetting.any():
            self._reward_due = 0.0

    def save(self, path: str | PathLike[str]) -> None:
        """Write what the robots have learned in context to a file, whole or not at all.

        The reward of the last action is not in it, because `act` was not told it yet.

        Raises:
            ArtifactError: the file cannot be written.
            ValueError: the agent is closed.
        """
        self._require_open()
        save_state(Path(path), self._agent.session, self._policy_sha256)

    def load(self, path: str | PathLike[str]) -> None:
        """Go on with the memory in a file, of `save` or of `dmh-edge run --state`. The next step starts an episode.

        Nothing changes unless all of the file is good.

        Raises:
            ArtifactError: the file is missing, truncated or altered.
            ContractError: another policy learned it, or another number of robots.
            ValueError: the agent is closed.
        """
        self._require_open()
        self._reward_due = load_state(Path(path), self._agent.session, self._policy_sha256)
        self._agent.world["previous_action"][:] = 0
        self._blank[:] = False
        self._must_start[:] = True

    def close(self) -> None:
        """Give back what the engine holds; a closed agent can be closed again, and nothing else."""
        if not self._closed:
            self._closed = True
            self._agent.session.close()

    def __enter__(self) -> PolicyAgent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("this agent is closed; open another one with policy.agent()")

    def _checked(self, name: str, given: ArrayLike, called: str = "") -> NDArray[Any]:
        """A copy of an array, of the element type of the world tensor of that name."""
        called, tensor, array = called or name, self._agent.world[name], np.asarray(given)
        kinds, words = _TAKEN[tensor.dtype.name]
        if array.shape != tensor.shape or array.dtype.kind not in kinds:
            raise ValueError(
                f"{called}: got {array.dtype} {list(array.shape)}, expected {words} {list(tensor.shape)}, "
                f"one row for each of {self.robots} robots"
            )
        with np.errstate(over="ignore"):  # what is too large for the element type becomes infinite, and is refused
            copied = array.astype(tensor.dtype)
        if tensor.dtype.kind == "f" and not (finite := np.isfinite(copied)).all():
            place = tuple(map(int, np.argwhere(~finite)[0]))
            element = f", {self._element(name, place[1])}" if len(place) > 1 else ""
            raise ValueError(
                f"{called}: got {array[place]} for robot {place[0]}{element}, expected a finite {tensor.dtype}"
            )
        return copied

    def _element(self, name: str, column: int) -> str:
        """What the contract calls one number of an observation or action."""
        task = self._agent.session.contract.task
        if name == "observation":
            return task.observation[column].name
        return f"element {column}" if isinstance(task.action, DiscreteAction) else task.action.elements[column].name

    def _require_choices(self, applied: NDArray[Any]) -> None:
        choices = self._agent.session.contract.task.action
        if isinstance(choices, DiscreteAction) and ((applied < 0) | (applied >= choices.size)).any():
            raise ValueError(f"applied: got {applied.tolist()}, expected choices from 0 to {choices.size - 1}")
