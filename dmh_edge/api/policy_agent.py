"""An agent for Python programs: one policy moves N robots. Every input is checked, and every output is a copy.

The control loop in `runtime.loop` checks its readings itself, and so uses `runtime.sessions.agent` directly.
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

#: For each element type of the contract: the kinds of numpy element types that are accepted, and a name for messages.
_TAKEN = {"float32": ("fiu", "real numbers"), "int64": ("iu", "whole numbers"), "bool": ("b", "bool")}


@final
class PolicyAgent:
    """N robots that one policy moves; each has its own memory, with which it learns in context.

    `LoadedPolicy.agent` makes an agent. Every array has one row per robot. The agent copies its inputs, and its outputs
    belong to the caller: no later call changes them. Only one thread at a time can use an agent.

    Args:
        session: session that computes the policy for N robots; the agent closes it.
        policy_sha256: identity of the policy; saved memories belong to it.
        seed: seed of the exploration noise; None for no noise, which gives the likeliest action.
    """

    def __init__(self, session: Session, policy_sha256: str, seed: int | None = None) -> None:
        self._agent = Agent(session, seed)
        self._policy_sha256 = policy_sha256
        self._blank = np.ones(session.batch, np.bool_)  # robots that have not acted since they forgot everything
        self._must_start = np.ones(session.batch, np.bool_)  # robots whose next step is the first of an episode
        self._reward_due = 0.0  # reward that a loaded memory has not received yet
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
        """Choose the next action of every robot, and remember this step. Call it once per control period.

        A robot keeps its memory when a new episode starts; only `forget` empties it. At a robot's first step after
        that, its reward and its applied action are ignored, because they belong to the time before.

        Args:
            observation: ``[N, S]``, what each robot measures now, in the contract's order and units.
            reward: ``[N]``, the reward of the action before, even if that action ended an episode.
            episode_start: ``[N]`` bool, whether this is the first step of an episode.
            applied: the actions before, as the robots really applied them, shaped like the actions. None: as chosen.

        Returns:
            the actions: ``[N, A]`` float32, or ``[N]`` int64 if the policy's actions are discrete.

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
        """Write the memories of the robots, what they have learned in context, to a file, whole or not at all.

        The reward of the last action is not in the file, because `act` has not received it yet.

        Raises:
            ArtifactError: the file cannot be written.
            ValueError: the agent is closed.
        """
        self._require_open()
        save_state(Path(path), self._agent.session, self._policy_sha256)

    def load(self, path: str | PathLike[str]) -> None:
        """Load memories from a file that `save` or `dmh-edge run --state` wrote. The next step must start an episode.

        If there is any fault in the file, nothing changes.

        Raises:
            ArtifactError: the file is missing, truncated or altered.
            ContractError: the memories are of another policy, or of another number of robots.
            ValueError: the agent is closed.
        """
        self._require_open()
        self._reward_due = load_state(Path(path), self._agent.session, self._policy_sha256)
        self._agent.world["previous_action"][:] = 0
        self._blank[:] = False
        self._must_start[:] = True

    def close(self) -> None:
        """Release what the engine holds. A closed agent can be closed again; its other methods raise ValueError."""
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
        """Return a copy of an array, checked, with the element type of the world tensor of that name."""
        called, tensor, array = called or name, self._agent.world[name], np.asarray(given)
        kinds, words = _TAKEN[tensor.dtype.name]
        if array.shape != tensor.shape or array.dtype.kind not in kinds:
            raise ValueError(
                f"{called}: got {array.dtype} {list(array.shape)}, expected {words} {list(tensor.shape)}, "
                f"one row for each of {self.robots} robots"
            )
        with np.errstate(over="ignore"):  # too large numbers become infinite, and are refused
            copied = array.astype(tensor.dtype)
        if tensor.dtype.kind == "f" and not (finite := np.isfinite(copied)).all():
            place = tuple(map(int, np.argwhere(~finite)[0]))
            element = f", {self._element(name, place[1])}" if len(place) > 1 else ""
            raise ValueError(
                f"{called}: got {array[place]} for robot {place[0]}{element}, expected a finite {tensor.dtype}"
            )
        return copied

    def _element(self, name: str, column: int) -> str:
        """Return the contract's name of one number of an observation or action."""
        task = self._agent.session.contract.task
        if name == "observation":
            return task.observation[column].name
        return f"element {column}" if isinstance(task.action, DiscreteAction) else task.action.elements[column].name

    def _require_choices(self, applied: NDArray[Any]) -> None:
        choices = self._agent.session.contract.task.action
        if isinstance(choices, DiscreteAction) and ((applied < 0) | (applied >= choices.size)).any():
            raise ValueError(f"applied: got {applied.tolist()}, expected choices from 0 to {choices.size - 1}")
