"""The watchdog: a process that stops the robot when the loop falls silent, for any reason.

A thread could not do it: it does not run while native code holds the interpreter's lock, nor when the process is
stopped or dead. This process has its own interpreter, memory and session, so that Ctrl-C, Ctrl-Z and the end of a
terminal do not reach it. It ends with the loop, but not before it has stopped a robot that the loop left running.

    the loop is silent while       for longer than               the watchdog
    running                        3 control periods + 30 ms     stops the robot, within 3 periods + 50 ms
    resetting                      the reset timeout + 1 s       stops the robot: the loop itself has not stopped it
    stopping                       2 s                           stops the robot
    disarmed                       -                             waits
    the loop ends, not disarmed    -                             stops the robot at once

It does nothing else, and imports no large library.
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
#: The robot must stand still 3 periods + 50 ms after the last sign of life: this part is for waking up and stopping.
REACTION_NS = 20 * MS
MARGIN_NS = 50 * MS - REACTION_NS
SILENT_PERIODS = 3

#: Robots decelerate before they stand still; if the loop's stop takes longer than this, the stop path is used.
STOP_TIMEOUT_NS = 2_000 * MS

#: The loop itself ends a reset that takes too long, and says why; after this extra time the watchdog does it.
RESET_MARGIN_NS = 1_000 * MS

#: Longest time between two looks, so that the loop can see whether the watchdog is alive.
_LOOK_NS = 250 * MS
#: Time after which a stop path that failed is tried again.
_AGAIN_S = 0.05
#: Time for which the watchdog goes on trying after the loop has ended.
LAST_TRIES_S = 10.0

READY = b"ready"


@dataclass(frozen=True)
class WatchdogConfig:
    """What the process is given besides the stop path.

    Attributes:
        heartbeat: heartbeat of the loop.
        loop: process id of the loop.
        period_ns: control period in nanoseconds.
        reset_timeout_ns: longest time for a reset, in nanoseconds.
    """

    heartbeat: Heartbeat
    loop: int
    period_ns: int
    reset_timeout_ns: int

    def limit_ns(self, phase: Phase) -> int | None:
        """How long the loop may be silent in a phase, in nanoseconds; None for no limit."""
        if phase is Phase.DISARMED:
            return None
        if phase is Phase.RUNNING:
            return SILENT_PERIODS * self.period_ns + MARGIN_NS
        return self.reset_timeout_ns + RESET_MARGIN_NS if phase is Phase.RESETTING else STOP_TIMEOUT_NS


def watch(config: WatchdogConfig, ended: Callable[[int], bool], now_ns: Callable[[], int]) -> tuple[Phase, int] | None:
    """Wait until the robot has to be stopped.

    Args:
        config: limits and heartbeat.
        ended: function that waits for at most the given nanoseconds, and returns whether the loop's process has ended.
        now_ns: function that reads the monotonic clock.

    Returns:
        the phase in which the loop fell silent, and for how many nanoseconds; None when it ended as it should.
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
    """Stop the robot; if that fails, try again until it works, or until some seconds after the loop has ended.

    Returns:
        the last error in words; empty when the robot stands still.
    """
    last_try_s = None
    while True:
        try:
            stop_path()
        except Exception as error:  # noqa: BLE001 (after any error the robot may still move)
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
    """Run the watchdog process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # systemd sends SIGTERM to all processes of a service
    config: WatchdogConfig
    config, stop_path = processes.received()
    parent = select.poll()
    parent.register(sys.stdin.fileno(), select.POLLIN)  # no more data comes: it is readable when the loop has ended

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
    """Take a priority above that of a loop in real time, which keeps its core; the watchdog inherits no priority."""
    with contextlib.suppress(ProcessLookupError):
        policy = os.sched_getscheduler(loop) & ~os.SCHED_RESET_ON_FORK
        if policy not in (os.SCHED_FIFO, os.SCHED_RR):
            return
        priority = min(os.sched_getparam(loop).sched_priority + 1, os.sched_get_priority_max(policy))
        try:
            os.sched_setscheduler(0, policy, os.sched_param(priority))
        except PermissionError as error:
            _say(
                f"watchdog: cannot take priority {priority}, above the loop's: {error.strerror}; "
                "raise the limit rtprio to it"
            )


def _say(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
    except OSError:  # the terminal is gone
        pass
