"""A time limit on a call that blocks: SIGALRM interrupts it, as Ctrl-C would, without a thread.

It interrupts everything that comes back to the interpreter: sleeps, reads and writes of Python. Native code that never
comes back cannot be interrupted from inside its own process.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

#: The timer fires a little after the limit, never before it.
_MARGIN_S = 1e-3


@contextlib.contextmanager
def alarm(seconds_left: Callable[[], float]) -> Iterator[None]:
    """Check again and again, during a call that blocks, whether the call may go on. In the main thread only.

    Args:
        seconds_left: function that returns the seconds until the limit. It is called again when they have passed, and
            raises once the limit is reached.
    """
    active = True

    def ring(*_: object) -> None:
        if active:
            signal.setitimer(signal.ITIMER_REAL, max(seconds_left(), 0) + _MARGIN_S)

    first_s = seconds_left()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, first_s + _MARGIN_S)
        yield
    finally:
        active = False  # a signal that is on its way has no effect any more
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
