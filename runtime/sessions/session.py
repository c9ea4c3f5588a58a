"""A session: one policy, its state and its buffers, on one backend.

``step`` proposes: it computes outputs and a next state, but a second ``step`` still starts from the same state.
``commit`` adopts the proposal. A proposal that is not committed is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import PolicyContract

Arrays = Mapping[str, NDArray[Any]]


class Session(Protocol):
    """What the loop, the evaluation and the replay need from a backend."""

    @property
    def contract(self) -> PolicyContract:
        """The policy's contract."""
        ...

    @property
    def backend(self) -> str:
        """Name of the backend: ``ort-cpu``, ``ort-cuda``, ``tensorrt`` or ``torch``."""
        ...

    @property
    def batch(self) -> int:
        """Number of independent robots B."""
        ...

    def step(self, world: Arrays) -> Arrays:
        """Propose one tick.

        Args:
            world: every world tensor of the contract by name, ``[B, ...]``, of the contract's element types.

        Returns:
            every output of the contract by name, ``[B, ...]``. The arrays belong to the session and are overwritten
            by the next ``step``.

        Raises:
            BackendError: the engine failed.
        """
        ...

    @property
    def ran(self) -> Sequence[bool]:
        """Whether the last ``step`` ran each graph, in the contract's order; empty before the first one."""
        ...

    def proposal_is_finite(self) -> bool:
        """Whether everything that the last ``step`` proposed, state included, is a finite number."""
        ...

    def commit(self) -> None:
        """Adopt what the last ``step`` proposed."""
        ...

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Zero the state of some rows ``[B]``, or of all. Their next tick must set ``episode_start``."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the committed state tensors by name, with ``ticks_in_episode`` ``[B]``, the schedule's counter."""
        ...

    def copy_state(self, target: Arrays) -> None:
        """Copy committed state tensors, named as in `state`, into ``target``'s arrays; keep no new memory."""
        ...

    def restore(self, state: Arrays) -> None:
        """Go on from what ``state`` returned.

        Raises:
            ContractError: a tensor is missing, or has another shape or element type.
        """
        ...

    def close(self) -> None:
        """Free what the backend holds. Idempotent."""
        ...
