"""The physics of a simulated arm, in a process and a time of its own.

It steps on absolute slots of ``CLOCK_MONOTONIC``. A process that comes late catches up, and every step that it makes up
for sees what had arrived by the time that it stands for: what the arm does depends on when it was told, and not on how
busy the machine was.

    before the first command of an episode    the brakes hold the arm
    a command                                 acts from the actuator's delay on, until the next one
    no command for the command timeout        brakes, until the next command
    a stop, from whatever process             brakes, until armed again

The brakes take out speed with a time constant of 20 ms and hold the arm whatever it carries: for torques, that is what
"stop" means. A robot does not vanish when its driver dies, so this process outlives it, but only by a second.
"""

from __future__ import annotations

import math
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from dmh_edge import processes, tasks
from dmh_edge.clock import NS_PER_S, Clock, FakeClock, MonotonicClock
from dmh_edge.robots.monitor import Monitor, Rule
from dmh_edge.robots.mujoco_link import PHYSICS_HZ, STEP_NS, Link, PhysicsConfig, PhysicsEvent, PhysicsWord
from dmh_edge.task import bounds_of

if TYPE_CHECKING:
    from dmh_edge.tasks.arm_env import ArmEnv

_BRAKE_S = 0.02
_KEEP = math.exp(-1 / (PHYSICS_HZ * _BRAKE_S))
#: A process that is so far behind has been stopped or starved; to pretend that its robot ran all the time is no use.
_LOST_NS = NS_PER_S
#: How long it outlives its driver.
_ORPHAN_NS = NS_PER_S

RULES = get_args(Rule)


class Waiting(NamedTuple):
    """A command that does not act yet."""

    acts_ns: int
    written_ns: int
    action: np.ndarray[Any, Any]


class Physics:
    """One arm.

    Args:
        config: see there.
        link: to the driver.
        clock: tells when the first step begins: once everything is loaded.

    Attributes:
        now_ns: up to when it has stepped.
    """

    def __init__(self, config: PhysicsConfig, link: Link, clock: Clock) -> None:
        import gymnasium

        task = tasks.find(config.environment).spec
        with processes.without_current_folder():  # glfw, which comes with gymnasium, starts one to ask for its version
            made = gymnasium.make(config.environment, hidden=config.hidden, disable_env_checker=True)
        self._arm: ArmEnv = made.unwrapped  # type: ignore[assignment]
        self._arm.model.opt.timestep = 1 / PHYSICS_HZ
        self._arm.reset(seed=config.seed)
        self._link, self._words = link, link.words
        self._timeout_ns = round(config.command_timeout_s * NS_PER_S)
        self._delay_ns = round(config.actuator_delay_s * NS_PER_S)
        self.now_ns = clock.now_ns()
        self._written = FakeClock(self.now_ns)  # the monitor's: what is judged is when commands were written
        self._monitor = Monitor(task, self._written, config.command_timeout_s)
        self._reported = 0
        self._low, self._high = bounds_of(task.action.elements)  # type: ignore[union-attr]
        self._taken = 0  # commands read from the ring
        self._waiting: deque[Waiting] = deque()
        self._acting: np.ndarray[Any, Any] | None = None  # None: the brakes are on
        self._acting_ns = 0
        self._still = False
        self._armed = 0
        self._episode = 0
        self._stopped_ns = 0
        self._expects_first = False  # whether the next command is the first of an episode
        self._publish()
        self._words[PhysicsWord.STARTED] = self.now_ns

    def step(self) -> None:
        """One step of the physics, from `now_ns` on; then what the sensors see at its end."""
        self._listen()
        while self._waiting and self._waiting[0].acts_ns <= self.now_ns:
            self._acting_ns, written_ns, self._acting = self._waiting.popleft()
            self._note(PhysicsEvent.COMMAND, self.now_ns, written_ns)
        if self._acting is not None and self.now_ns - self._acting_ns > self._timeout_ns:
            self._brake(PhysicsEvent.SILENCE, self._acting_ns)
        if self._acting is not None:
            self._arm.advance(self._acting)
        elif not self._still:
            self._still = self._arm.brake(_KEEP)
            if self._still:
                self._note(PhysicsEvent.AT_REST, self.now_ns, 0)
        self.now_ns += STEP_NS
        self._publish()

    def finish(self, now_ns: int) -> None:
        """Judge what was written until now and will not be carried out any more."""
        self._take_commands(now_ns)
        self._report()

    def _listen(self) -> None:
        """Everything that had been said by `now_ns`."""
        words = self._words
        if words[PhysicsWord.ARMED] != self._armed:
            self._armed, self._stopped_ns = words[PhysicsWord.ARMED], 0
            self._monitor.armed()
        stopped_ns = words[PhysicsWord.STOPPED]
        if not self._stopped_ns and 0 < stopped_ns <= self.now_ns:
            self._take_commands(stopped_ns)
            self._stopped_ns = stopped_ns
            self._written.sleep_until_ns(stopped_ns)
            self._monitor.stopped()
            self._brake(PhysicsEvent.STOP, stopped_ns)
        if words[PhysicsWord.RESET_ASKED] != self._episode:
            self._reset(words[PhysicsWord.RESET_ASKED])
        self._take_commands(self.now_ns)
        self._report()

    def _reset(self, episode: int) -> None:
        """Begin an episode; what was hidden stays."""
        self._written.sleep_until_ns(self.now_ns)
        self._monitor.resetting()
        self._episode = episode
        if not self._stopped_ns:
            self._arm.reset()
            self._brake(PhysicsEvent.RESET, episode)
            self._expects_first = True
        self._words[PhysicsWord.RESET_DONE] = episode

    def _take_commands(self, until_ns: int) -> None:
        """Those that were written by a time, as the driver sent them."""
        while self._taken < self._link.commands.count:
            command = self._link.commands.read(self._taken)
            if command is None:  # overwritten: more arrived in one step than the ring holds
                self._taken += 1
                continue
            written_ns, episode, accepted, *action = command
            if written_ns > until_ns:
                return
            self._taken += 1
            self._written.sleep_until_ns(int(written_ns))
            if accepted and self._expects_first:  # until now the brakes held the arm, and no action was due
                self._monitor.reset()
                self._expects_first = False
            self._monitor.wrote(np.array(action, np.float32))
            if accepted and episode == self._episode and not self._stopped_ns:
                limited = np.clip(action, self._low, self._high)
                self._waiting.append(Waiting(int(written_ns) + self._delay_ns, int(written_ns), limited))

    def _brake(self, why: PhysicsEvent, detail: int) -> None:
        self._acting, self._still = None, False
        if why is not PhysicsEvent.SILENCE:
            self._waiting.clear()
        self._note(why, self.now_ns, detail)

    def _publish(self) -> None:
        observation, reward = self._arm.look()
        self._link.samples.append(self.now_ns, self._episode, reward, *observation.tolist())
        self._words[PhysicsWord.AT_REST] = int(self._acting is None and self._still)
        self._words[PhysicsWord.STEPPED] = self.now_ns

    def _report(self) -> None:
        for violation in self._monitor.violations[self._reported :]:
            self._note(PhysicsEvent.VIOLATION, violation.at_ns, RULES.index(violation.rule))
        self._reported = len(self._monitor.violations)

    def _note(self, event: PhysicsEvent, at_ns: int, detail: int) -> None:
        self._link.events.append(event, at_ns, detail)


def keep_time(physics: Physics, link: Link, clock: Clock, orphaned: list[int]) -> Literal["asked", "orphaned", "lost"]:
    """Step as time passes; why it ended.

    Args:
        physics: to be stepped.
        link: says when to end.
        clock: the machine's.
        orphaned: holds the time since which there is no driver, if so.
    """
    while not link.words[PhysicsWord.QUIT]:
        clock.sleep_until_ns(physics.now_ns + STEP_NS)
        now_ns = clock.now_ns()
        if orphaned and now_ns - orphaned[0] > _ORPHAN_NS:
            return "orphaned"
        if now_ns - physics.now_ns > _LOST_NS:
            return "lost"
        while physics.now_ns + STEP_NS <= now_ns:
            physics.step()
    physics.finish(clock.now_ns())
    return "asked"


def main() -> None:
    """The process."""
    config: PhysicsConfig
    link: Link
    clock, orphaned = MonotonicClock(), list[int]()

    def note(*_: object) -> None:
        if not orphaned and processes.orphaned(config.driver):  # the signal comes when a mere thread ends, too
            orphaned.append(clock.now_ns())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a robot does not end because its driver's terminal does
    config, link = processes.received()
    signal.signal(signal.SIGUSR1, note)
    processes.signal_when_parent_ends(signal.SIGUSR1)
    note()  # it may have ended before
    physics = Physics(config, link, clock)
    if keep_time(physics, link, clock, orphaned) == "lost":
        sys.exit(f"the physics of mujoco:{config.environment} has been held up for over {_LOST_NS / NS_PER_S:g} s")
