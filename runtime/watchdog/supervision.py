"""The loop's side of the watchdog: what stops this robot when the loop cannot, and the loop's signs of life.

the robot                       what stops it when the loop falls silent
in lockstep                     nothing needs to: its time stands still until the next action
has a stop path                 the watchdog process, which calls the stop path
has only a command timeout      the robot itself
has neither                     a person who stands by: it is refused without ``attended``

When process 1 of a container ends, all other processes end too, the watchdog included: if the loop is process 1, a stop
path alone is not enough.
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

#: Longest time to start the process and to import what the stop path needs, on a busy machine.
_START_S = 30.0
#: Longest wait for the end of the watchdog: its last tries to stop the robot, and some seconds for the stop path.
_END_S = LAST_TRIES_S + 5.0
#: The watchdog looks four times a second. A watchdog that has not looked for this time is dead or gets no core.
_ABSENT_NS = 2 * NS_PER_S


class WatchdogFired(Exception):
    """The watchdog has stopped the robot."""


class Supervision:
    """The supervision of one run. Without a watchdog, its calls do nothing.

    Args:
        period_ns: control period in nanoseconds.
        clock: clock of the loop.
        reset_timeout_s: longest time for a reset, in seconds.
        attended: whether a person stands by who can stop a robot that nothing else would stop.
    """

    def __init__(self, period_ns: int, clock: Clock, *, reset_timeout_s: float, attended: bool = False) -> None:
        self._period_ns, self._clock, self._attended = period_ns, clock, attended
        self._reset_timeout_ns = round(reset_timeout_s * NS_PER_S)
        self._process: subprocess.Popen[bytes] | None = None
        self._heartbeat: Heartbeat | None = None

    def begin(self, robot: Robot) -> None:
        """Start the watchdog if this robot needs one. To be called before the robot is armed.

        Args:
            robot: the robot, connected.

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
                "nothing would stop this robot when the loop dies: the loop is process 1 of a container, so the "
                "watchdog ends with it; give the robot a command timeout, run it outside of a container, or stand by "
                "with a hand on the emergency stop and run it with --attended"
            )
        heartbeat = Heartbeat()
        config = WatchdogConfig(heartbeat, os.getpid(), self._period_ns, self._reset_timeout_ns)
        self._process = processes.start("dmh_edge.runtime.watchdog.watchdog", config, stop_path, output=subprocess.PIPE)
        self._wait_until_ready(self._process)
        self._heartbeat = heartbeat

    def check_in(self, phase: Phase) -> None:
        """Give a sign of life; from now on the loop is in this phase. It writes to memory and makes no system call.

        Raises:
            WatchdogFired: the watchdog has stopped the robot.
            RobotError: the watchdog does not look any more.
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
        """Refuse to move a robot that the watchdog has stopped. To be called just before the robot is moved.

        Raises:
            WatchdogFired: the watchdog has stopped the robot.
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
        """Give a sign of life while the run ends; unlike `check_in` it never raises."""
        if self._heartbeat is not None:
            self._heartbeat.beat(phase, self._clock.now_ns())

    def end(self) -> None:
        """Let the watchdog end. Unless the last phase was `Phase.DISARMED`, it stops the robot once more first."""
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
                "its output above says why: usually, another process cannot import the stop path of the robot"
            )
