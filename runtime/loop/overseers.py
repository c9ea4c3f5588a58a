"""Who watches over the loop: whoever may stop it, and whoever must hear that it is alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.watchdog.supervision import Supervision


def _permitted() -> None:
    """The permission to arm was given beforehand."""


@dataclass(frozen=True)
class Overseers:
    """The people and processes around one loop.

    Attributes:
        signals: requests to stop; entered by the caller, who writes the records while a second Ctrl-C is held off.
        operator: wishes that the loop looks at once a slot.
        supervision: stops the robot when the loop cannot.
        notifier: tells the service manager that the loop is alive.
        permit: asks for the permission to arm, and returns once it is given.
    """

    signals: StopSignals
    operator: Operator
    supervision: Supervision
    notifier: Notifier
    permit: Callable[[], None] = _permitted

    def want_a_stop(self) -> bool:
        """Whether a signal, a key or a button asks for a stop."""
        return self.signals.requested() or bool(self.operator.stop_reason)
