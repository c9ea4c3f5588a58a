"""``mujoco:<id>``: an arm of `dmh_edge.tasks` in real time, whose physics does not wait for its driver.

Environment, task and reward are the same as those of ``gym:<id>``, which runs in lockstep, but here a late action has
an effect: the physics runs in a separate process (`robots.mujoco_physics`), goes on with the last action, and brakes
when no action comes for the command timeout. Noise, latency and drop-outs can be added (`robots.mujoco_sensors`).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import numpy as np

from dmh_edge import processes
from dmh_edge.clock import NS_PER_S
from dmh_edge.errors import ConfigError, MissingExtraError, RobotError, unknown
from dmh_edge.extras import is_installed
from dmh_edge.robots.lifecycle import Lifecycle
from dmh_edge.robots.monitor import Rule
from dmh_edge.robots.mujoco_link import Link, PhysicsConfig, PhysicsEvent, PhysicsWord, StopPath
from dmh_edge.robots.mujoco_sensors import Between, Sensors, is_number
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.task import ContinuousAction, TaskSpec, bounds_of

#: Loading MuJoCo takes a second, or some seconds on a small, busy machine.
_CONNECT_S = 60.0
_RESET_S = 5.0
_CLOSE_S = 5.0
_POLL_S = 0.001
#: Time without a step after which it is checked whether the process of the physics is alive.
_SILENT_NS = 100_000_000
#: Time without a step after which the physics counts as dead.
_DEAD_NS = 2 * NS_PER_S
_ARMS = ("dark-reacher", "dark-payload", "dark-camera")


class MujocoRobot:
    """One arm, and the process of its physics.

    Args:
        environment_id: ``dark-reacher``, ``dark-payload`` or ``dark-camera``.
        hidden: number of the hidden task; None to draw one that no data set contains.
        command_timeout_s: time without an action after which the arm brakes by itself, in seconds; None for five
            control periods.
        seed: seed of every random generator.
        between: noise and delays between the arm and its driver, by the names of `Between`.

    Raises:
        ConfigError: there is no such arm, or an option cannot be used.
        MissingExtraError: MuJoCo or gymnasium is not installed.
    """

    lockstep = False
    simulated = True
    damp = None  # its brakes belong to `stop`

    def __init__(
        self,
        environment_id: str,
        *,
        hidden: int | None = None,
        command_timeout_s: float | None = None,
        seed: int = 0,
        **between: float,
    ) -> None:
        self._name = f"mujoco:{environment_id}"
        self.task, self._action = _find(self._name, environment_id)
        self.command_timeout_s = 5 / self.task.rate_hz if command_timeout_s is None else command_timeout_s
        if not is_number(self.command_timeout_s) or self.command_timeout_s <= 0:
            got = f"command_timeout_s = {self.command_timeout_s!r}"
            raise ConfigError(f"{self._name}: got {got}, expected a number above 0")
        self._between = _between(self._name, between)
        _refuse_odd_hidden(self._name, hidden)
        self._environment_id, self._hidden, self._seed = environment_id, hidden, seed
        self._action_low, self._action_high = bounds_of(self._action.elements)
        self._sensors = Sensors(self._name, self.task.observation, self._between, seed)
        self._life = Lifecycle(self._name)
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stop: StopPath | None = None
        self._episode = 0
        self._rewarded = False

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """Function that brakes the arm through the shared memory; None before `connect`."""
        return self._stop

    @property
    def violations(self) -> list[tuple[str, int]]:
        """Violations that the monitor in the physics noted: the rule, and the time in nanoseconds."""
        events = [] if self._link is None else [self._link.events.read(n) for n in range(self._link.events.count)]
        return [
            (get_args(Rule)[int(rule)], int(at_ns))
            for kind, at_ns, rule in filter(None, events)
            if kind == PhysicsEvent.VIOLATION
        ]

    @property
    def reward_now(self) -> float:
        """Reward of where the arm is now, not of the older state that `read` returns: for an evaluation, not a policy.

        Raises:
            RobotError: the arm is not connected, or the physics is dead.
        """
        samples = self._running().samples
        newest = samples.read(samples.count - 1)
        if newest is None:
            raise RobotError(f"{self._name}: the newest sample of the physics cannot be read")
        _, _, reward, *_ = newest
        return float(reward)

    def connect(self) -> None:
        """Start the physics.

        Raises:
            RobotError: it did not start in time.
        """
        self.close()
        self._link = Link(self._action.size, len(self.task.observation))
        config = PhysicsConfig(
            environment=self._environment_id,
            hidden=self._hidden,
            seed=self._seed,
            command_timeout_s=self.command_timeout_s,
            actuator_delay_s=self._between.actuator_delay_s,
            driver=os.getpid(),
        )
        self._process = processes.start("dmh_edge.robots.mujoco_physics", config, self._link)
        self._stop = StopPath(self._link.memory)
        self._episode = 0
        self._sensors.connect()
        words = self._link.words
        self._wait_for(lambda: words[PhysicsWord.STARTED] != 0, _CONNECT_S, "did not start")
        self._life.connect()

    def arm(self) -> None:
        """Release a stop from `stop` or from another process. The brakes hold until the first action."""
        self._life.arm()
        link = self._running()
        link.words[PhysicsWord.STOPPED] = 0
        link.words[PhysicsWord.ARMED] += 1

    def reset(self) -> None:
        """Put the arm near its stretched pose, as the environment does; the brakes hold it until the first action.

        Raises:
            RobotError: the arm is not armed or was stopped, or the physics did not do it in time.
        """
        self._life.check_reset()
        link = self._running()
        self._refuse_stopped(link, "reset")
        self._episode += 1
        link.words[PhysicsWord.RESET_ASKED] = self._episode
        self._wait_for(lambda: self._has_begun(link), _RESET_S, "did not reset")
        self._rewarded = False
        self._sensors.reset()
        self._life.reset()

    def read(self) -> Reading:
        """Read the sensors now, without waiting.

        Raises:
            RobotError: the arm is not connected, or the physics is dead.
        """
        self._life.check_read()
        return self._sensors.read(self._running(), rewarded=self._rewarded)

    def write(self, action: Action) -> Action:
        """Send a pair of torques, without waiting.

        Raises:
            RobotError: the arm is not armed or was stopped, or the action has a wrong shape or is not finite.
        """
        if getattr(action, "shape", None) != (self._action.size,):
            raise RobotError(f"{self._name} refuses write: got {action!r}, expected an array of {self._action.size}")
        try:
            self._life.check_write()
            link = self._running()
            self._refuse_stopped(link, "write")
            if not np.isfinite(action).all():
                raise RobotError(f"{self._name} refuses write: {action} is not finite")
        except RobotError:
            self._send(action, accepted=0)  # so that the monitor sees it
            raise
        self._send(action, accepted=1)
        self._rewarded = True
        return np.clip(action, self._action_low, self._action_high).astype(np.float32)

    def stop(self) -> None:
        """Brake, and wait until the arm stands still.

        Raises:
            RobotError: the arm goes on moving.
        """
        self._life.stop()
        if self._stop is not None:
            self._stop()

    def close(self) -> None:
        """Stop, and end the process of the physics."""
        try:
            self.stop()
        finally:
            self._life.close()
            if self._process is not None and self._link is not None:
                self._link.words[PhysicsWord.QUIT] = 1
                processes.end(self._process, _CLOSE_S)
            self._process = self._link = self._stop = None

    def _send(self, action: Action, accepted: int) -> None:
        if self._link is not None:
            self._link.commands.append(time.monotonic_ns(), self._episode, accepted, *action.tolist())

    def _has_begun(self, link: Link) -> bool:
        """Whether the physics has begun the episode, and every sample that `read` can return belongs to it."""
        return link.words[PhysicsWord.RESET_DONE] == self._episode and self._sensors.show(link, self._episode)

    def _running(self) -> Link:
        """The link to the physics, which is known to be alive.

        Raises:
            RobotError: the arm is not connected, or the physics is dead.
        """
        if self._link is None or self._process is None:
            raise RobotError(f"{self._name} is not connected; call connect first")
        silent_ns = time.monotonic_ns() - self._link.words[PhysicsWord.STEPPED]
        if silent_ns > _SILENT_NS:  # checked only then, because `poll` is a system call
            if (code := self._process.poll()) is not None:
                raise RobotError(f"{self._name}: the process of its physics has ended with {code}; connect again")
            if silent_ns > _DEAD_NS:
                raise RobotError(f"{self._name}: its physics has not stepped for {silent_ns / NS_PER_S:.1f} s")
        return self._link

    def _refuse_stopped(self, link: Link, call: str) -> None:
        if link.words[PhysicsWord.STOPPED]:
            raise RobotError(f"{self._name} refuses {call}: it was stopped from another process; arm it again")

    def _wait_for(self, condition: Callable[[], bool], patience_s: float, failure: str) -> None:
        """Wait until a condition is true, for at most ``patience_s`` seconds."""
        until_s = time.monotonic() + patience_s
        while not condition():
            if self._process is None or (code := self._process.poll()) is not None:
                raise RobotError(f"{self._name}: the physics {failure}: its process has ended with {code}")
            if time.monotonic() > until_s:
                raise RobotError(f"{self._name}: the physics {failure} within {patience_s:g} s")
            time.sleep(_POLL_S)


def _find(name: str, environment_id: str) -> tuple[TaskSpec, ContinuousAction]:
    """The task of an arm, and its action. All arms take torques; for positions, the physics would need a controller."""
    if environment_id not in _ARMS:
        raise ConfigError(unknown("robot", name, [f"mujoco:{known}" for known in _ARMS]))
    if not is_installed("mujoco"):  # checked first, because its extra also installs gymnasium
        raise MissingExtraError("mujoco", "mujoco", name)
    from dmh_edge import tasks  # where gymnasium is missing, this raises an error that names the extra

    task = tasks.find(environment_id).spec
    assert isinstance(task.action, ContinuousAction)
    return task, task.action


def _between(name: str, options: dict[str, float]) -> Between:
    known = [field.name for field in fields(Between)]
    for option in options:
        if option not in known:
            raise ConfigError(f"robot {name}: {unknown('option', option, [*known, 'hidden', 'command_timeout_s'])}")
    between = Between(**options)
    between.require(name)
    return between


def _refuse_odd_hidden(name: str, hidden: Any) -> None:
    from dmh_edge.tasks.family import ENDLESS, require_hidden

    if hidden is not None:
        require_hidden(name, hidden, ENDLESS)
