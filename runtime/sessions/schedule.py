"""Which graphs are due on a tick: the host decides this from its own counters and never asks the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec

#: Name of `Schedule.ticks_in_episode` in a state.
TICKS = "ticks_in_episode"


class Schedule:
    """Counts the ticks of each robot's episode.

    Args:
        graphs: the contract's graphs.
        batch: number of robots B.

    Attributes:
        ticks_in_episode: committed number of ticks of each robot's episode, int64 ``[B]``.
        due: whether each graph was due at the last `propose`; empty before the first one.
    """

    def __init__(self, graphs: Sequence[GraphSpec], batch: int) -> None:
        self._every = [graph.every for graph in graphs]
        self.ticks_in_episode = np.zeros(batch, np.int64)
        self.due: list[bool] = []
        self._proposed = np.zeros(batch, np.int64)

    def propose(self, episode_start: NDArray[np.bool_]) -> list[bool]:
        """Whether each graph is due for at least one robot; ``episode_start`` is ``[B]``."""
        np.copyto(self._proposed, self.ticks_in_episode)
        self._proposed[episode_start] = 0
        self.due = [every == 1 or not (self._proposed % every).all() for every in self._every]
        self._proposed += 1
        return self.due

    def commit(self) -> None:
        """Count the tick that was proposed."""
        self.ticks_in_episode, self._proposed = self._proposed, self.ticks_in_episode
