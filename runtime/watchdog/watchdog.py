"""The watchdog: a process that stops the robot when the loop falls silent, whatever has become of the loop.

A thread could not do it: it never runs while native code holds the interpreter's lock, nor when the process is stopped
or dead. This process has an interpreter, a memory and a session of its own, so that Ctrl-C, Ctrl-Z and the end of a
terminal are not for it. It ends with the loop, and not before it has stopped a robot that the loop left running.

    the loop is silent while       for longer than               the watchdog
    running                        3 control periods + 30 ms     stops the robot, within 3 periods + 50 ms
    resetting                      the reset timeout + 1 s       stops the robot: the loop itself had not
    stopping                       2 s                           stops the robot
    disarmed                       -                             waits
    the loop ends, not disarmed    -                             stops the robot at once

It is asked for nothing else, and imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from dmh_edge import processes
from dmh_edge.runtime.watchdog.heartbeat import Heartbeat, Phase

MS = 1_000_000
#: The robot has to stand still 3 periods + 50 ms after the last sign of life: this much is for waking up and stopping.
REACTION_NS = 20 * MS
MARGIN_NS = 50 * MS - REACTION_NS
SILENT_PERIODS = 3

#: Robots decelerate before they stand still; one that takes longer has to be stopped by another way.
STOP_TIMEOUT_NS = 2_000 * MS

#: The loop ends a reset that takes too long, and says why; this is for a loop that does not.
RESET_MARGIN_NS = 1_000 * MS

#: It looks at least so often, so that the loop can tell whether it lives.
_LOOK_NS = 250 * MS
#: A stop path that failed is tried again after this.
_AGAIN_S = 0.05
#: It goes on trying for so long after the loop has ended.
LAST_TRIES_S = 10.0

READY = b"ready"


@dataclass(frozen=True)
class WatchdogConfig:
    """What the process is given beside the stop path.

    Attributes:
        heartbeat: the loop's.
        loop: its process id.
        period_ns: period of the control loop.
        reset_timeout_ns: longest reset.
    """

    heartbeat: Heartbeat
    loop: int
    period_ns: int
    reset_timeout_ns: int

    def limit_ns(self, phase: Phase) -> int | None:
        """How long the loop may be silent; None for ever."""
        if phase is Phase.DISARMED:
            return None
        if phase is Phase.RUNNING:
            return SILENT_PERIODS * self.period_ns + MARGIN_NS
        return self.reset_timeout_ns + RESET_MARGIN_NS if phase is Phase.RESETTING else STOP_TIMEOUT_NS


def watch(config: WatchdogConfig, ended: Callable[[int], bool], now_ns: Callable[[], int]) -> tuple[Phase, int] | None:
    """Wait until the robot has to be stopped.

    Args:
        config: limits and heartbeat.
        ended: waits for at most so many nanoseconds; whether the loop's process has ended.
        now_ns: the monotonic clock.

    Returns:
        the phase in which the loop fell silent and for how long it has been; None when it ended as it should.
    """
    heartbeat, gone = config.heartbeat, False
    while True:
        now = now_ns()
        heartbeat.look(now)
        phase, beat_ns = heartbeat.last_beat()
        limit_ns = config.limit_ns(phase)
        if limit_ns is not None and (gone or now - beat_ns > limit_ns):
            return phase, now - beat_ns
        if gone:
            return None
        wait_ns = _LOOK_NS if limit_ns is None else min(_LOOK_NS, beat_ns + limit_ns - now + 1)
        gone = ended(max(wait_ns, 1))


def stop(heartbeat: Heartbeat, stop_path: Callable[[], None], ended: Callable[[int], bool]) -> str:
    """Stop the robot; where that fails, try again until it works.

    Returns:
        what went wrong in the end; empty when the robot stands still.
    """
    last_try_s = None
    while True:
        try:
            stop_path()
        except Exception as error:  # noqa: BLE001 (whatever it is, the robot may still move)
            failure = f"{type(error).__name__}: {error}"
        else:
            heartbeat.confirm(time.monotonic_ns())
            return ""
        if last_try_s is None and ended(0):
            last_try_s = time.monotonic() + LAST_TRIES_S
        if last_try_s is not None and time.monotonic() > last_try_s:
            return failure
        time.sleep(_AGAIN_S)
        heartbeat.look(time.monotonic_ns())


def main() -> None:
    """The process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # systemd, for one, sends SIGTERM to all processes of a service
    config: WatchdogConfig
    config, stop_path = processes.received()
    parent = select.poll()
    parent.register(sys.stdin.fileno(), select.POLLIN)  # nothing more is ever sent: it is ready when the loop has ended

    def ended(wait_ns: int) -> bool:
        return bool(parent.poll(-(-wait_ns // MS))) or processes.orphaned(config.loop)

    heartbeat = config.heartbeat
    heartbeat.look(time.monotonic_ns())
    _run_before(config.loop)
    sys.stdout.write(READY.decode())
    sys.stdout.flush()
    fell_silent = watch(config, ended, time.monotonic_ns)
    if fell_silent is None:
        return
    phase, silence_ns = fell_silent
    heartbeat.fire(phase, silence_ns, time.monotonic_ns())
    failure = stop(heartbeat, stop_path, ended)
    what = "has ended" if ended(0) else f"was silent for {silence_ns / MS:.0f} ms"
    done = f"did not stop ({failure}): use the emergency stop" if failure else "was stopped"
    _say(f"watchdog: the loop {what} while {phase.name.lower()}; the robot {done}")
    while not ended(_LOOK_NS):
        heartbeat.look(time.monotonic_ns())


def _run_before(loop: int) -> None:
    """Take a priority above that of a loop in real time, which does not give up its core and hands no priority on."""
    with contextlib.suppress(ProcessLookupError):
        policy = os.sched_getscheduler(loop) & ~os.SCHED_RESET_ON_FORK
        if policy not in (os.SCHED_FIFO, os.SCHED_RR):
            return
        priority = min(os.sched_getparam(loop).sched_priority + 1, os.sched_get_priority_max(policy))
        try:
            os.sched_setscheduler(0, policy, os.sched_param(priority))
        except PermissionError as error:
            _say(f"watchdog: no priority above the loop's, {priority}: {error.strerror}; raise the limit rtprio to it")


def _say(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
    except OSError:  # the terminal is gone
        pass
