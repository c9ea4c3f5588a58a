"""Processes beside a running policy: how one is started, what it is given, and how it ends with its parent.

A new interpreter is started, not a fork: a fork would copy the locks of an inference library's threads, a GPU's context
and all of their memory. The process finds its modules where the parent finds them and nowhere else: a file in the
user's current folder hides none of them.
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
#: Size of the length that precedes the pickled arguments, in bytes.
_LENGTH = 4
#: Cores on which started processes run; None for the same cores as this process.
_CORES: tuple[int, ...] | None = None


def start(module: str, *given: Any, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Run ``main`` of a module in a new process, which can import what this one can import.

    The process has a session of its own: Ctrl-C and Ctrl-Z in the terminal do not reach it.

    Args:
        module: e.g. ``dmh_edge.runtime.watchdog.watchdog``; its ``main`` calls `received` to get the arguments.
        given: arguments for the process; anything that can be pickled.
        output: where its standard output goes; its standard error is the one of this process.

    Returns:
        the process; its ``stdin`` stays open until the parent closes it or ends.

    Raises:
        RobotError: an argument cannot be pickled.
    """
    try:
        packed = pickle.dumps((_CORES, *given))
    except Exception as error:
        raise RobotError(
            f"{given} cannot be given to another process ({error}); it must be made of functions and classes of a "
            "module that can be imported, and hold nothing that belongs to this process"
        ) from error
    # With -c, Python searches the current folder first, as with -m: so the path is set before any import.
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
    except BrokenPipeError:  # the process ended at once; the caller sees that when it waits for the process
        pass
    return process


def _path() -> list[str]:
    """Where this process finds modules, as absolute paths, so that they mean the same in another process.

    The current folder stays where Python or the user has put it: first in ``python -c`` and at the prompt.
    """
    found = []
    for entry in sys.path:
        with contextlib.suppress(FileNotFoundError):  # the current folder was removed
            found.append(str(Path(entry).absolute()))
    return found


@contextlib.contextmanager
def without_current_folder() -> Iterator[None]:
    """Keep interpreters that other libraries start meanwhile from searching the current folder for modules.

    Python 3.10 does not support this: there a file in that folder can hide a module from them.
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
    """Return, in the new process, the arguments that it was given."""
    cores, *given = pickle.loads(_read(int.from_bytes(_read(_LENGTH), "little")))
    if cores is not None:
        with contextlib.suppress(OSError):  # some of these cores are no longer available
            os.sched_setaffinity(0, cores)
    return tuple(given)


def _read(size: int) -> bytes:
    """Read exactly ``size`` bytes of stdin: a buffered reader would ask for more and wait for them for ever."""
    read = b""
    while len(read) < size:
        piece = os.read(sys.stdin.fileno(), size - len(read))
        if not piece:
            raise RobotError("the process that started this one ended before it had sent what to do")
        read += piece
    return read


def signal_when_parent_ends(number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent ends, in whichever way it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


@contextlib.contextmanager
def started_on(cores: Collection[int]) -> Iterator[None]:
    """Let the processes that `start` starts meanwhile run on these cores, not on the core of a loop in real time."""
    global _CORES
    before, _CORES = _CORES, tuple(cores)
    try:
        yield
    finally:
        _CORES = before


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Close the stdin of a process and wait for its end; kill it when it has not ended after ``patience_s`` seconds."""
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
    """Whether the process with the id ``parent``, which started this one, has ended."""
    return os.getppid() != parent
