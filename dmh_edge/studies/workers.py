"""The processes of a study: they start with the parent's modules, and end with the parent and in good order.

Light: a new process imports this file before all else.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from dmh_edge import processes

#: Seconds that such a process has to leave in good order.
_LAST_S = 10


class _Process(SpawnProcess):
    """A process that multiprocessing starts: it imports some modules before it has its parent's path."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        with processes.without_current_folder():
            return SpawnProcess._Popen(process_obj)  # noqa: SLF001 (what a context of multiprocessing may replace)


class _Context(SpawnContext):
    Process = _Process


def spawning() -> SpawnContext:
    """For a `ProcessPoolExecutor`: every process is a new interpreter, which imports what this one can import."""
    with processes.without_current_folder():
        resource_tracker.ensure_running()  # which multiprocessing would start when the first lock is made
    return _Context()


def live_and_die_with_the_parent() -> None:
    """Make this process end with its parent, and leave Ctrl-C, which reaches both, to the parent.

    However the parent ends, Linux sends SIGTERM then, and this process writes down what it has spent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    processes.signal_when_parent_ends(signal.SIGTERM)


def _leave(*_: object) -> None:
    signal.alarm(_LAST_S)  # which ends the process even where the exception is swallowed
    sys.exit(1)
