"""Helpers of a running policy that are processes of their own: how one is started, and how it ends with its parent.

A new interpreter is started, not a fork: a fork would take along the threads' locks of an inference library, a GPU's
context and the memory of all of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
from typing import Any

from dmh_edge.errors import RobotError

_PR_SET_PDEATHSIG = 1
#: Bytes that say how long what is given is.
_LENGTH = 4


def start(module: str, *given: Any, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Run ``main`` of a module in a process of its own, which imports what this one can import.

    It is in a session of its own, so that Ctrl-C and Ctrl-Z in a terminal are not for it.

    Args:
        module: e.g. ``dmh_edge.runtime.watchdog.watchdog``; its ``main`` asks `received` for what was given.
        given: whatever can be pickled.
        output: where what it prints goes; errors go where ours go.

    Returns:
        the process; its ``stdin`` stays open until the parent closes it or ends.

    Raises:
        RobotError: what was given cannot be pickled.
    """
    try:
        packed = pickle.dumps(given)
    except Exception as error:
        raise RobotError(
            f"{given} cannot be given to another process ({error}); it must be made of functions and classes of a "
            "module that can be imported, and hold nothing that belongs to this process"
        ) from error
    # The path as this process has it: no file of the folder that the user stands in can hide a module of ours.
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output, start_new_session=True
    )
    assert process.stdin is not None
    try:
        process.stdin.write(len(packed).to_bytes(_LENGTH, "little") + packed)
        process.stdin.flush()
    except BrokenPipeError:  # it ended at once; whoever waits for it will see that
        pass
    return process


def received() -> tuple[Any, ...]:
    """In the new process: what it was given."""
    given: tuple[Any, ...] = pickle.loads(_read(int.from_bytes(_read(_LENGTH), "little")))
    return given


def _read(size: int) -> bytes:
    """So many bytes from stdin and no more, unlike a buffered reader: that one would wait for what never comes."""
    read = b""
    while len(read) < size:
        piece = os.read(sys.stdin.fileno(), size - len(read))
        if not piece:
            raise RobotError("the process that started this one ended before it had said what to do")
        read += piece
    return read


def signal_when_parent_ends(number: signal.Signals) -> None:
    """Ask the kernel for a signal to this process when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def leave_the_parents_core() -> None:
    """Run on any core: a loop in real time may have been given one for itself, and its children inherit that."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Close what leads to a process that was asked to end, wait for it, and kill it when it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def orphaned(parent: int) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent
