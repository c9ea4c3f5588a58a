"""Real time for the loop's thread: requested from the kernel piece by piece, and given back afterwards.

    SCHED_FIFO     no thread of ordinary priority takes the core away          thread
    core           one core, where its caches stay warm; only with SCHED_FIFO  thread
    timer slack    the kernel must not delay a wake-up to round it             thread
    memory         locked: no page has to be fetched or mapped in a tick       process: pages belong to no thread
                   except memory that was never touched and is not a file: stacks of threads that sleep, and the
                   32 MB that numpy's BLAS keeps for products of matrices

Processes that are started meanwhile get neither the priority nor the locked memory, and run on the other cores. The
loop itself controls garbage collection (`runtime.loop.loop`), and the session makes its engine compute on the calling
thread without spinning (`runtime.sessions.ort`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmh_edge import processes
from dmh_edge.errors import ConfigError

#: ``off`` asks for nothing, ``try`` takes what the kernel grants, ``require`` refuses to start without all of it.
RealTime = Literal["off", "try", "require"]

#: Above the kernel's threads for interrupts (50), below those that keep the machine alive (99).
PRIORITY = 80

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30
_CAP_IPC_LOCK, _CAP_SYS_NICE = 14, 23


@dataclass(frozen=True)
class Grant:
    """One thing that was requested from the kernel.

    Attributes:
        what: name of the thing, e.g. ``SCHED_FIFO at priority 80``.
        refusal: why it was refused; empty when it was granted.
        remedy: the command or setting with which it would be granted; empty when it was granted.
    """

    what: str
    refusal: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        """The outcome in one sentence."""
        return f"{self.what}: not granted, {self.refusal}; {self.remedy}" if self.refusal else f"{self.what}: granted"


@contextlib.contextmanager
def real_time(mode: RealTime) -> Iterator[tuple[Grant, ...]]:
    """Give the calling thread what it needs to be on time, and take it away again on leaving.

    Args:
        mode: how much to request; see `RealTime`.

    Yields:
        everything that was requested, granted or not.

    Raises:
        ConfigError: the mode is ``require`` and something was refused. The message has a sentence for each refusal;
            everything is then as it was before.
    """
    if mode == "off":
        yield ()
        return
    with contextlib.ExitStack() as undo:
        grants = (_lock_memory(undo), _set_timer_slack(undo), *_schedule(undo))
        if mode == "require" and (missing := [str(grant) for grant in grants if grant.refusal]):
            raise ConfigError("--realtime require:\n  " + "\n  ".join(missing))
        yield grants


def warnings() -> list[str]:
    """What makes real time worse on this machine: one sentence for each cause, with its remedy."""
    found = []
    runtime_us, period_us = (_number(f"/proc/sys/kernel/sched_rt_{name}_us") for name in ("runtime", "period"))
    if runtime_us is not None and period_us is not None and 0 <= runtime_us < period_us:
        found.append(
            f"real-time throttling: a loop that computes or spins for more than {runtime_us / 1e6:g} s of every "
            f"{period_us / 1e6:g} s is paused for the rest; sysctl -w kernel.sched_rt_runtime_us=-1 turns it off"
        )
    core = chosen_core()
    if core not in _isolated():
        found.append(
            f"core {core} is not isolated: interrupts and the kernel's own work share it with the loop; boot with "
            f"isolcpus={core} nohz_full={core} irqaffinity=<the other cores>, or give it a cpuset of its own"
        )
    return found


def chosen_core() -> int:
    """The core for the loop: an isolated one, else the last one that this thread may use.

    The first core gets most interrupts. ``taskset``, ``CPUAffinity`` in a systemd unit or a cpuset limit the choice.
    """
    allowed, isolated = os.sched_getaffinity(0), _isolated()
    if not allowed & isolated and allowed == _cores("online") - isolated:
        allowed = isolated or allowed  # no affinity was set: the kernel keeps ordinary threads off the isolated ones
    return max(allowed & isolated or allowed)


def _lock_memory(undo: contextlib.ExitStack) -> Grant:
    libc = ctypes.CDLL(None, use_errno=True)
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    what, remedy = "locked memory", _raise_limit("memlock", "unlimited", "LimitMEMLOCK=infinity", "IPC_LOCK")
    if soft != resource.RLIM_INFINITY and not _has_capability(_CAP_IPC_LOCK):
        # Locking could succeed now, but then every allocation beyond the limit would fail, while the robot moves.
        return Grant(what, f"the limit is {soft // 1024} KiB", remedy)
    # Pages that exist are locked as they are; pages that come later are fetched at once.
    if libc.mlockall(_MCL_CURRENT | _MCL_ONFAULT) != 0 or libc.mlockall(_MCL_FUTURE) != 0:
        return Grant(what, os.strerror(ctypes.get_errno()), remedy)
    undo.callback(libc.munlockall)
    for begin, end in _mapped_files():  # as with mlockall, a page that cannot be fetched does no harm
        libc.mlock(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin))
    return Grant(what)


def _mapped_files() -> Iterator[tuple[int, int]]:
    """Address ranges of libraries and of memory shared with other processes, without devices."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, rights, *_, path = [*line.split(maxsplit=5), ""][:6]
        if path.startswith("/") and not path.startswith("/dev/") and rights.startswith("r"):
            begin, _, end = where.partition("-")
            yield int(begin, 16), int(end, 16)


def _set_timer_slack(undo: contextlib.ExitStack) -> Grant:
    libc = ctypes.CDLL(None, use_errno=True)
    what = "timer slack of 1 ns"
    before = libc.prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    if before < 0 or libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0) != 0:
        return Grant(what, os.strerror(ctypes.get_errno()), "allow prctl in the container's seccomp profile")
    if before > 0:  # a thread of real-time priority has none, and 0 would mean the thread's default
        undo.callback(libc.prctl, _PR_SET_TIMERSLACK, ctypes.c_ulong(before), 0, 0, 0)
    return Grant(what)


def _schedule(undo: contextlib.ExitStack) -> Iterator[Grant]:
    """Priority and core: a thread tied to a core needs the priority, because it cannot move away from other threads."""
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    # One priority above is left for the watchdog, which must not have to wait for the loop.
    priority = PRIORITY if _has_capability(_CAP_SYS_NICE) or soft < 1 else max(1, min(PRIORITY, soft - 1))
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    core = chosen_core()
    try:
        # Threads and processes that this thread starts get the ordinary priority.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        remedy = _raise_limit("rtprio", str(PRIORITY + 1), f"LimitRTPRIO={PRIORITY + 1}", "SYS_NICE")
        yield Grant(f"SCHED_FIFO at priority {priority}", f"{error.strerror}, the limit is {soft}", remedy)
        yield Grant(f"core {core}", "a thread of ordinary priority must be free to move", "it comes with SCHED_FIFO")
        return
    undo.callback(_restore_scheduling, *before)
    yield Grant(f"SCHED_FIFO at priority {priority}")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        yield Grant(
            f"core {core}", str(error.strerror), f"put it into the process's cpuset (cpuset.cpus, now {_cpuset()})"
        )
        return
    undo.callback(os.sched_setaffinity, 0, allowed)
    undo.enter_context(processes.started_on(allowed - {core} or allowed))
    yield Grant(f"core {core}")


def _restore_scheduling(policy: int, param: os.sched_param) -> None:
    try:
        os.sched_setscheduler(0, policy, param)
    except PermissionError:  # without CAP_SYS_NICE the flag, once set, stays; it changes nothing for ordinary priority
        os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, param)


def _raise_limit(name: str, value: str, directive: str, capability: str) -> str:
    """How to raise a limit of the system: for a login, a service or a container."""
    return (
        f"write '{_user()} - {name} {value}' to /etc/security/limits.d/dmh-edge.conf and log in again, "
        f"or {directive} in a systemd unit, or docker run --cap-add {capability} --ulimit {name}="
        f"{'-1' if value == 'unlimited' else value}"
    )


def _user() -> str:
    return os.environ.get("USER") or str(os.geteuid())


def _has_capability(number: int) -> bool:
    status = Path("/proc/thread-self/status").read_text(encoding="utf-8")
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(effective.split()[1], 16) >> number & 1)


def _isolated() -> set[int]:
    """Cores that the kernel keeps free of ordinary threads."""
    return _cores("isolated")


def _cores(kind: str) -> set[int]:
    try:
        return cores_of(Path("/sys/devices/system/cpu", kind).read_text(encoding="utf-8").strip())
    except OSError:
        return set()


def cores_of(listed: str) -> set[int]:
    """Numbers in the kernel's notation, e.g. ``0-2,7``."""
    cores: set[int] = set()
    for part in filter(None, listed.split(",")):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def _cpuset() -> str:
    status = Path("/proc/thread-self/status").read_text(encoding="utf-8")
    return next((line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list:")), "unknown")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
