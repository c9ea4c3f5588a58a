"""A session that fails on purpose: any session, with a named fault from a chosen step on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import Clock, MonotonicClock
from dmh_edge.errors import BackendError, ConfigError, unknown
from dmh_edge.faults.faulty_robot import When
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.task import ContinuousAction

#: What can go wrong in a policy, by name.
POLICY_FAULTS = MappingProxyType(
    {
        "action-nan": "the proposed action is not a number",
        "action-inf": "the proposed action is infinite",
        "action-exploded": "the proposed action is a million times too large",
        "action-bounds": "the proposed action is a little out of bounds, or no choice",
        "action-leaps": "the proposed action jumps from bound to bound",
        "state-nan": "the proposed state is not finite",
        "compute-late": "computing takes one and a half periods",
        "engine-raises": "the engine fails",
    }
)


class FaultySession:
    """A session with a fault.

    Args:
        session: the one inside.
        fault: one of `POLICY_FAULTS`.
        at: number of the step, from 0, at which the fault begins.
        lasts: steps for which it lasts; None for ever.
        every: it shows in every so many of them.
        clock: stamps what is kept here; None for the machine's.
        pause: lets seconds pass.

    Attributes:
        injected_ns: when the fault showed first; None before.
        steps: how many were proposed.

    Raises:
        ConfigError: there is no such fault, or the actions are choices, which cannot show it.
    """

    def __init__(
        self,
        session: Session,
        fault: str,
        *,
        at: int = 0,
        lasts: int | None = None,
        every: int = 1,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        action = session.contract.task.action
        known = [
            name
            for name in POLICY_FAULTS
            if isinstance(action, ContinuousAction)
            or name not in ("action-nan", "action-inf", "action-exploded", "action-leaps")
        ]
        if fault not in known:
            raise ConfigError(unknown("fault", fault, known))
        self._session, self._fault, self._when = session, fault, When(at, lasts, every)
        self._clock = MonotonicClock() if clock is None else clock
        self._pause = pause
        self._shows = False
        self.injected_ns: int | None = None
        self.steps = 0
        self.contract, self.backend, self.batch = session.contract, session.backend, session.batch

    def step(self, world: Arrays) -> Arrays:
        """As inside, or spoilt."""
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
        """As inside."""
        return self._session.ran

    def proposal_is_finite(self) -> bool:
        """As inside, or not."""
        return self._session.proposal_is_finite() and not (self._shows and self._fault == "state-nan")

    def commit(self) -> None:
        """As inside."""
        self._session.commit()

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """As inside."""
        self._session.forget(rows)

    def state(self) -> dict[str, NDArray[Any]]:
        """As inside."""
        return self._session.state()

    def copy_state(self, target: Arrays) -> None:
        """As inside."""
        self._session.copy_state(target)

    def restore(self, state: Arrays) -> None:
        """As inside."""
        self._session.restore(state)

    def close(self) -> None:
        """As inside."""
        self._session.close()

    def _spoilt(self, action: NDArray[Any]) -> NDArray[Any]:
        spec = self.contract.task.action
        if not isinstance(spec, ContinuousAction):
            return np.full_like(action, spec.size) if self._fault == "action-bounds" else action
        low = np.array([element.low for element in spec.elements], np.float32)
        high = np.array([element.high for element in spec.elements], np.float32)
        spoilt: dict[str, NDArray[Any]] = {
            "action-nan": np.full_like(action, np.nan),
            "action-inf": np.full_like(action, -np.inf),
            "action-exploded": np.full_like(action, 1e6 * high.max()),
            "action-bounds": np.broadcast_to(high + (high - low) / 10, action.shape).astype(action.dtype),
            "action-leaps": np.broadcast_to(low if self.steps % 2 else high, action.shape).astype(action.dtype),
        }
        return spoilt.get(self._fault, action)
