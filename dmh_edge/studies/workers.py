"""How the processes of a study end: with their parent, and in good order. Light: it imports nothing of ours."""

from __future__ import annotations

import ctypes
import signal
import sys

#: Of `prctl`; and the seconds that such a process has to leave in good order.
_SET_PARENT_DEATH_SIGNAL, _LAST_S = 1, 10


def live_and_die_with_the_parent() -> None:
    """Of a process for parts of a study: the parent alone answers Ctrl-C, which reaches both, and takes its children
    along.

    However it ends: Linux sends them SIGTERM then, and they write down what they have spent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _leave(*_: object) -> None:
    signal.alarm(_LAST_S)  # which ends the process even where the exception is swallowed
    sys.exit(1)
