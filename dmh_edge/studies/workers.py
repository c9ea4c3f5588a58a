"""The processes of a study: they import the same modules as the parent, and end cleanly when the parent ends.

This file imports little, because a new process imports it first.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from dmh_edge import processes

#: Seconds that such a process has to end cleanly.
_LAST_S = 10


class _Process(SpawnProcess):
    """A process that imports nothing from the current folder, also before it has its parent's import path."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        with processes.without_current_folder():
            return SpawnProcess._Popen(process_obj)  # noqa: SLF001 (what a context of multiprocessing may replace)


class _Context(SpawnContext):
    Process = _Process


def spawning() -> SpawnContext:
    """Context of a `ProcessPoolExecutor`: each process is a new interpreter that imports what this one can import."""
    with processes.without_current_folder():
        resource_tracker.ensure_running()  # which multiprocessing would start when the first lock is made
    return _Context()


def live_and_die_with_the_parent() -> None:
    """Make this process end with its parent, and leave Ctrl-C, which reaches both, to the parent.

    Linux sends SIGTERM when the parent ends, even if it is killed. This process then records the time that it spent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    processes.signal_when_parent_ends(signal.SIGTERM)


def _leave(*_: object) -> None:
    signal.alarm(_LAST_S)  # ends the process even if the exception is swallowed
    sys.exit(1)
