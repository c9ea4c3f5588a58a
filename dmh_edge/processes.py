"""Processes beside a running policy: how one is started, what it is given, and how it ends with its parent.

A new interpreter is started, not a fork: a fork would take along the threads' locks of an inference library, a GPU's
context and the memory of all of it. Its modules come from where the parent's come from, and from nowhere else: a file
in the folder where the user stands hides none of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from dmh_edge import user_modules
from dmh_edge.errors import RobotError

_PR_SET_PDEATHSIG = 1
_SAFE_PATH = "PYTHONSAFEPATH"
#: Bytes of the length that precedes what is given.
_LENGTH = 4
#: Cores of the processes that are started; None for those of this process.
_CORES: tuple[int, ...] | None = None


def start(module: str, *given: Any, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Run ``main`` of a module in a process of its own, which can import what this one can import.

    It has a session of its own: Ctrl-C and Ctrl-Z in the terminal do not reach it.

    Args:
        module: e.g. ``dmh_edge.runtime.watchdog.watchdog``; its ``main`` asks `received` for what was given.
        given: whatever can be pickled.
        output: where its standard output goes; its standard error is that of this process.

    Returns:
        the process; its ``stdin`` stays open until the parent closes it or ends.

    Raises:
        RobotError: what was given cannot be pickled.
    """
    try:
        packed = pickle.dumps((_CORES, *given))
    except Exception as error:
        raise RobotError(
            f"{given} cannot be given to another process ({error}); it must be made of functions and classes of a "
            "module that can be imported, and hold nothing that belongs to this process"
        ) from error
    # Python puts the current folder before all others here, as it does for -m: the path is set before any import.
    code = (
        f"import sys; sys.path[:] = {_path()!r}; from dmh_edge import user_modules; "
        f"any(map(user_modules.look_in, {user_modules.folders()!r})); from {module} import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output, start_new_session=True
    )
    assert process.stdin is not None
    try:
        process.stdin.write(len(packed).to_bytes(_LENGTH, "little") + packed)
        process.stdin.flush()
    except BrokenPipeError:  # it ended at once, which the caller sees when it waits for it
        pass
    return process


def _path() -> list[str]:
    """Where this process finds modules, so that it means the same in another one.

    The current folder is there where Python or the user has put it: first in ``python -c`` and at the prompt.
    """
    found = []
    for entry in sys.path:
        with contextlib.suppress(FileNotFoundError):  # the current folder was removed
            found.append(str(Path(entry).absolute()))
    return found


@contextlib.contextmanager
def without_current_folder() -> Iterator[None]:
    """Interpreters that other libraries start meanwhile do not look for modules in the current folder.

    Python 3.10 does not know how: there a file of that folder may hide a module from them.
    """
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def received() -> tuple[Any, ...]:
    """In the new process: what it was given."""
    cores, *given = pickle.loads(_read(int.from_bytes(_read(_LENGTH), "little")))
    if cores is not None:
        with contextlib.suppress(OSError):  # some of them were taken away since
            os.sched_setaffinity(0, cores)
    return tuple(given)


def _read(size: int) -> bytes:
    """Exactly so many bytes of stdin: a buffered reader would ask for more, and wait for what never comes."""
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


@contextlib.contextmanager
def started_on(cores: Collection[int]) -> Iterator[None]:
    """What `start` starts meanwhile runs on these cores, and not on the one core of a loop in real time."""
    global _CORES
    before, _CORES = _CORES, tuple(cores)
    try:
        yield
    finally:
        _CORES = before


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Close the stdin of a process that was asked to end, wait for its end, and kill it when it does not come."""
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
