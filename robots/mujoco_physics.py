"""The physics of a simulated arm, in a separate process in real time.

It steps on absolute slots of ``CLOCK_MONOTONIC``. A process that is late catches up: each late step uses only the
commands that had arrived by the time for which the step stands. So the arm's motion depends on when the commands came,
and not on how busy the machine was.

    before the first command of an episode    the brakes hold the arm
    a command                                 acts after the actuator's delay, until the next command
    no command for the command timeout        brakes, until the next command
    a stop, from any process                  brakes, until armed again

The brakes reduce the speed with a time constant of 20 ms, and hold the arm with any load: for torques, that is what
"stop" means. A robot does not vanish when its driver dies, so this process outlives the driver, but only by a second.
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
#: A process that is this far behind was stopped or got no core. It ends, because catching up would be useless.
_LOST_NS = NS_PER_S
#: How long the process outlives its driver.
_ORPHAN_NS = NS_PER_S

RULES = get_args(Rule)


class Waiting(NamedTuple):
    """A command that does not act yet. Times are nanoseconds of ``CLOCK_MONOTONIC``."""

    acts_ns: int
    written_ns: int
    action: np.ndarray[Any, Any]


class Physics:
    """The physics of one arm.

    Args:
        config: configuration of the physics.
        link: link to the driver.
        clock: clock for the time of the first step, which is when everything is loaded.

    Attributes:
        now_ns: time up to which the physics has stepped, in nanoseconds.
    """

    def __init__(self, config: PhysicsConfig, link: Link, clock: Clock) -> None:
        import gymnasium

        task = tasks.find(config.environment).spec
        with (
            processes.without_current_folder()
        ):  # glfw, which comes with gymnasium, starts an interpreter to ask for its version
            made = gymnasium.make(config.environment, hidden=config.hidden, disable_env_checker=True)
        self._arm: ArmEnv = made.unwrapped  # type: ignore[assignment]
        self._arm.model.opt.timestep = 1 / PHYSICS_HZ
        self._arm.reset(seed=config.seed)
        self._link, self._words = link, link.words
        self._timeout_ns = round(config.command_timeout_s * NS_PER_S)
        self._delay_ns = round(config.actuator_delay_s * NS_PER_S)
        self.now_ns = clock.now_ns()
        self._written = FakeClock(
            self.now_ns
        )  # clock of the monitor, which judges the times at which commands were written
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
        """Make one step of the physics from `now_ns` on, and publish what the sensors measure at its end."""
        self._listen()
        while self._waiting and self._waiting[0].acts_ns <= self.now_ns:
            self._acting_ns, written_ns, self._acting = self._waiting.popleft()
            self._note(PhysicsEvent.COMMAND, self.now_ns, written_ns)
        if self._acting is not None and self.now_ns - self._acting_ns > self._timeout_ns:
            self._brake(PhysicsEvent.SILENCE, self._acting_ns)
        if self._acting is not None:
            self._arm.advance(self._acting)
        else:
            if not self._expects_first:  # an episode that has begun goes on: its end can be what is paid
                self._arm.data.time += 1 / PHYSICS_HZ
            if not self._still:
                self._still = self._arm.brake(_KEEP)
                if self._still:
                    self._note(PhysicsEvent.AT_REST, self.now_ns, 0)
        self.now_ns += STEP_NS
        self._publish()

    def finish(self, now_ns: int) -> None:
        """Let the monitor judge the commands that were written until now and will not be carried out any more."""
        self._take_commands(now_ns)
        self._report()

    def _listen(self) -> None:
        """Take everything that the driver and other processes had sent by `now_ns`."""
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
        """Begin an episode; the hidden task stays the same."""
        self._written.sleep_until_ns(self.now_ns)
        self._monitor.resetting()
        self._episode = episode
        if not self._stopped_ns:
            self._arm.reset()
            self._brake(PhysicsEvent.RESET, episode)
            self._expects_first = True
        self._words[PhysicsWord.RESET_DONE] = episode

    def _take_commands(self, until_ns: int) -> None:
        """Take the commands that were written by a time, in the order in which the driver sent them."""
        while self._taken < self._link.commands.count:
            command = self._link.commands.read(self._taken)
            if command is None:  # overwritten: more commands arrived in one step than the ring has room for
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
    """Step as time passes; return why it ended.

    Args:
        physics: the physics to step.
        link: link through which the driver asks the process to end.
        clock: the machine's clock.
        orphaned: list with the time at which the driver ended, in nanoseconds; empty while it is alive.
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
    """Run the process of the physics."""
    config: PhysicsConfig
    link: Link
    clock, orphaned = MonotonicClock(), list[int]()

    def note(*_: object) -> None:
        if not orphaned and processes.orphaned(
            config.driver
        ):  # the signal also comes when only a thread of the driver ends
            orphaned.append(clock.now_ns())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a robot does not end with its driver's terminal
    config, link = processes.received()
    signal.signal(signal.SIGUSR1, note)
    processes.signal_when_parent_ends(signal.SIGUSR1)
    note()  # the driver may have ended before
    physics = Physics(config, link, clock)
    if keep_time(physics, link, clock, orphaned) == "lost":
        sys.exit(f"the physics of mujoco:{config.environment} could not run for over {_LOST_NS / NS_PER_S:g} s")
