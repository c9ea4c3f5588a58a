"""The people and processes around the loop: who can stop it, and who must be informed that it is alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.watchdog.supervision import Supervision


def _permitted() -> None:
    """Return at once: the permission to arm was given beforehand."""


@dataclass(frozen=True)
class Overseers:
    """The people and processes around one loop.

    Attributes:
        signals: requests to stop. The caller has entered it and leaves it only after writing the records, so that a
            second Ctrl-C does not interrupt that.
        operator: requests of the operator, which the loop checks once per slot.
        supervision: supervision by the watchdog, which stops the robot when the loop cannot.
        notifier: connection to the service manager, which must be informed that the loop is alive.
        permit: function that asks for the permission to arm, and returns once it is given.
    """

    signals: StopSignals
    operator: Operator
    supervision: Supervision
    notifier: Notifier
    permit: Callable[[], None] = _permitted

    def want_a_stop(self) -> bool:
        """Whether a signal, a key or a button asks for a stop."""
        return self.signals.requested() or bool(self.operator.stop_reason)
