"""Counts the system calls that a program's main thread makes between two calls of ``getsid``, by ptrace.

    trace_calls.py PROGRAM ARGUMENT...

What strace does, and needs nothing that a new machine lacks: ``PTRACE_GET_SYSCALL_INFO`` (Linux 5.3) is the same on
every architecture, and a process may always trace its own child. Prints one line of JSON: number of calls by number.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import sys
from collections import Counter

TRACEME, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
TRACESYSGOOD, EXITKILL = 1, 1 << 20
ENTRY = 1
GETSID = {"x86_64": 124, "aarch64": 156}[platform.machine()]


class Info(ctypes.Structure):
    """``struct ptrace_syscall_info`` up to a call's number."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 8),
    )


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _LIBC.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request}: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    pid = os.fork()
    if pid == 0:
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, 0, TRACESYSGOOD | EXITKILL)
    info, counts, watching, deliver = Info(), Counter(), False, 0
    while True:
        ptrace(SYSCALL, pid, 0, deliver)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            break
        stopped_by = os.WSTOPSIG(status)
        deliver = 0 if stopped_by in (signal.SIGTRAP | 0x80, signal.SIGTRAP) else stopped_by
        if stopped_by != signal.SIGTRAP | 0x80:
            continue
        ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
        if info.op == ENTRY:
            if info.number == GETSID:
                watching = not watching
            elif watching:
                counts[int(info.number)] += 1
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.exit(os.waitstatus_to_exitcode(status))


main()
