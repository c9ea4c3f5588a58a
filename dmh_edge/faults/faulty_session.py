"""A session that fails on purpose: any session, with a named fault in chosen steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import Clock, MonotonicClock
from dmh_edge.errors import BackendError, ConfigError, unknown
from dmh_edge.faults.catalogue import POLICY_FAULTS
from dmh_edge.faults.when import ALWAYS, When
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.task import ContinuousAction, bounds_of


class FaultySession:
    """A session with a fault.

    Args:
        session: the session inside.
        fault: one of `POLICY_FAULTS`.
        when: the steps in which the fault shows.
        clock: clock for the times in the attributes; None for the machine's clock.
        pause: function that lets some seconds pass.

    Attributes:
        injected_ns: when the fault showed first, in nanoseconds; None before.
        steps: number of steps proposed so far.

    Raises:
        ConfigError: there is no such fault, or the actions are choices, which cannot show it.
    """

    def __init__(
        self,
        session: Session,
        fault: str,
        when: When = ALWAYS,
        *,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        numbers = isinstance(session.contract.task.action, ContinuousAction)
        known = [name for name, known in POLICY_FAULTS.items() if numbers or known.shows_with == "all"]
        if fault not in known:
            raise ConfigError(unknown("fault", fault, known))
        self._session, self._fault, self._when = session, fault, when
        self._clock = MonotonicClock() if clock is None else clock
        self._pause = pause
        self._shows = False
        self.injected_ns: int | None = None
        self.steps = 0
        self.contract, self.backend, self.batch = session.contract, session.backend, session.batch

    def step(self, world: Arrays) -> Arrays:
        """Propose with the session inside; the fault can spoil the action, delay the step or raise."""
        self._shows = self._when.includes(self.steps)
        self.steps += 1
        outputs = self._session.step(world)
        if not self._shows:
            return outputs
        if self.injected_ns is None:
            self.injected_ns = self._clock.now_ns()
        if self._fault == "engine-raises":
            raise BackendError("the engine failed")
        if self._fault == "compute-late":
            self._pause(1.5 / self.contract.task.rate_hz)
        return {**outputs, "action": self._spoilt(outputs["action"])}

    @property
    def ran(self) -> Sequence[bool]:
        """Whether the session inside ran each graph."""
        return self._session.ran

    def proposal_is_finite(self) -> bool:
        """Whether the proposal is finite; under the fault ``state-nan`` it is not."""
        return self._session.proposal_is_finite() and not (self._shows and self._fault == "state-nan")

    def commit(self) -> None:
        """Commit the proposal of the session inside."""
        self._session.commit()

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Zero the state of the session inside, for some rows or all."""
        self._session.forget(rows)

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state of the session inside."""
        return self._session.state()

    def copy_state(self, target: Arrays) -> None:
        """Copy the state of the session inside into ``target``'s arrays."""
        self._session.copy_state(target)

    def restore(self, state: Arrays) -> None:
        """Restore the state of the session inside."""
        self._session.restore(state)

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()

    def _spoilt(self, action: NDArray[Any]) -> NDArray[Any]:
        spec = self.contract.task.action
        if not isinstance(spec, ContinuousAction):
            return np.full_like(action, spec.size) if self._fault == "action-bounds" else action
        low, high = bounds_of(spec.elements, np.float32)
        spoilt: dict[str, NDArray[Any]] = {
            "action-nan": np.full_like(action, np.nan),
            "action-inf": np.full_like(action, -np.inf),
            "action-exploded": np.full_like(action, 1e6 * high.max()),
            "action-bounds": np.broadcast_to(high + (high - low) / 10, action.shape).astype(action.dtype),
            "action-leaps": np.broadcast_to(low if self.steps % 2 else high, action.shape).astype(action.dtype),
        }
        return spoilt.get(self._fault, action)
