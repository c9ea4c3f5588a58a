"""An agent feeds a session: it draws the noise, asks for the contract's return, and remembers the applied action.

The loop uses it for one robot, the evaluation for a batch of environments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.runtime.sessions.session import Arrays, Session


class Agent:
    """Turns observations and rewards into proposed actions, for B robots.

    Args:
        session: session that computes the policy.
        seed: seed of the exploration noise; None for no noise.
    """

    def __init__(self, session: Session, seed: int | None = None) -> None:
        self.session = session
        self._random = None if seed is None else np.random.default_rng(seed)
        self.world: dict[str, NDArray[Any]] = {
            spec.name: spec.zeros(session.batch) for spec in session.contract.model.world
        }
        if "target_return" in self.world:  # not every policy reads one
            self.world["target_return"][:] = session.contract.task.target_return

    def propose(
        self,
        observation: NDArray[np.float32],
        reward: NDArray[np.float32],
        episode_start: NDArray[np.bool_],
    ) -> Arrays:
        """Propose an action per robot; nothing is final before `commit`.

        Args:
            observation: observations, ``[B, S]``.
            reward: rewards of the previous actions, ``[B]``, also if such an action ended an episode.
            episode_start: whether this is the first tick of an episode, ``[B]``.

        Returns:
            the session's outputs, ``action`` among them.
        """
        self.world["observation"][:] = observation
        self.world["reward"][:] = reward
        self.world["episode_start"][:] = episode_start
        if self._random is not None and "noise" in self.world:  # not every policy reads noise
            self._random.standard_normal(dtype=np.float32, out=self.world["noise"])
        return self.session.step(self.world)

    def commit(self, applied: NDArray[Any]) -> None:
        """Adopt the proposal.

        Args:
            applied: the actions as the robots applied them, ``[B, A]`` or ``[B]``.
        """
        self.session.commit()
        self.world["previous_action"][:] = applied

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget everything that was learned in context, for some rows or all. Their next tick starts an episode."""
        self.session.forget(rows)
        self.world["previous_action"][slice(None) if rows is None else rows] = 0
