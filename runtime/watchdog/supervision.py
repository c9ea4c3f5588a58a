"""The loop's side of the watchdog: who stops this robot when the loop cannot, and the signs of life that it is told by.

the robot                       what stops it when the loop falls silent
in lockstep                     nothing needs to: its time stands still until the next action
has a stop path                 the watchdog process, which calls it
has a command timeout alone     the robot itself
has neither                     a person who stands by: it is refused without ``attended``

Process 1 of a container takes all others with it, the watchdog too: a stop path alone is not enough there.
"""

from __future__ import annotations

import os
import select
import subprocess

from dmh_edge import processes
from dmh_edge.clock import NS_PER_S, Clock
from dmh_edge.errors import RobotError
from dmh_edge.robots.protocol import Robot
from dmh_edge.runtime.watchdog.heartbeat import Heartbeat, Phase
from dmh_edge.runtime.watchdog.watchdog import LAST_TRIES_S, READY, WatchdogConfig

#: To start a process and import what the stop path needs, on a busy machine.
_START_S = 30.0
#: A watchdog that cannot stop the robot is let try for as long as it does, and its stop path take some seconds.
_END_S = LAST_TRIES_S + 5.0
#: The watchdog looks four times a second. One that has not for so long is dead or starved, and of no use.
_ABSENT_NS = 2 * NS_PER_S


class WatchdogFired(Exception):
    """The watchdog has stopped the robot."""


class Supervision:
    """The supervision of one run. Without a watchdog, its calls do nothing.

    Args:
        period_ns: period of the control loop.
        clock: the loop's.
        reset_timeout_s: longest reset.
        attended: whether a person stands by who can stop a robot that nothing else would stop.
    """

    def __init__(self, period_ns: int, clock: Clock, *, reset_timeout_s: float, attended: bool = False) -> None:
        self._period_ns, self._clock, self._attended = period_ns, clock, attended
        self._reset_timeout_ns = round(reset_timeout_s * NS_PER_S)
        self._process: subprocess.Popen[bytes] | None = None
        self._heartbeat: Heartbeat | None = None

    def begin(self, robot: Robot) -> None:
        """Before the robot is armed: start the watchdog, where there is work for it.

        Args:
            robot: connected.

        Raises:
            RobotError: nothing would stop this robot, or the watchdog does not start.
        """
        stop_path = robot.stop_path
        if robot.lockstep:
            return
        if stop_path is None:
            if robot.command_timeout_s is None and not self._attended:
                raise RobotError(
                    "nothing would stop this robot when the loop hangs or dies: it has neither a command timeout nor a "
                    "stop path; give its driver one of them, or stand by with a hand on the emergency stop and run it "
                    "with --attended"
                )
            return
        if os.getpid() == 1 and robot.command_timeout_s is None and not self._attended:
            raise RobotError(
                "nothing would stop this robot when the loop dies: as process 1 of a container it takes the watchdog "
                "with it; give the robot a command timeout, run it outside of a container, or stand by with a hand on "
                "the emergency stop and run it with --attended"
            )
        heartbeat = Heartbeat()
        config = WatchdogConfig(heartbeat, os.getpid(), self._period_ns, self._reset_timeout_ns)
        self._process = processes.start("dmh_edge.runtime.watchdog.watchdog", config, stop_path, output=subprocess.PIPE)
        self._wait_until_ready(self._process)
        self._heartbeat = heartbeat

    def check_in(self, phase: Phase) -> None:
        """A sign of life; from now on the loop is in this phase. A few numbers in memory, and no system call.

        Raises:
            WatchdogFired: the watchdog has stopped the robot.
            RobotError: there is no watchdog any more.
        """
        heartbeat = self._heartbeat
        if heartbeat is None:
            return
        now_ns = self._clock.now_ns()
        heartbeat.beat(phase, now_ns)
        if heartbeat.fired:
            raise WatchdogFired(self.verdict)
        if (absent_ns := now_ns - heartbeat.looked_ns) > _ABSENT_NS:
            raise RobotError(
                f"the watchdog has not looked for {absent_ns / NS_PER_S:.1f} s: it was killed, or something keeps it "
                "from running"
            )

    def check(self) -> None:
        """Just before the robot is moved: may it be?

        Raises:
            WatchdogFired: the watchdog has stopped it.
        """
        if self._heartbeat is not None and self._heartbeat.fired:
            raise WatchdogFired(self.verdict)

    @property
    def verdict(self) -> str:
        """What the watchdog did, in words; empty when it did nothing."""
        heartbeat = self._heartbeat
        if heartbeat is None or not heartbeat.fired:
            return ""
        confirmed = "" if heartbeat.confirmed_ns else "; its stop path has not confirmed that the robot stands still"
        phase, silence_ns = heartbeat.silence()
        return f"the loop was silent for {silence_ns / NS_PER_S:.3f} s while {phase.name.lower()}{confirmed}"

    def tell(self, phase: Phase) -> None:
        """As `check_in`, on the way out: never raises."""
        if self._heartbeat is not None:
            self._heartbeat.beat(phase, self._clock.now_ns())

    def end(self) -> None:
        """Let the watchdog go. Unless it was told `Phase.DISARMED`, it stops the robot once more before it ends."""
        if self._process is not None:
            processes.end(self._process, _END_S)
            self._process = None

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _START_S)
        said = process.stdout.read(len(READY)) if readable else b""
        if said != READY:
            raise RobotError(
                f"the watchdog did not start within {_START_S:g} s"
                if not readable
                else "the watchdog did not start; "
                "what it printed says why: as a rule the stop path of the robot cannot be imported by another process"
            )
