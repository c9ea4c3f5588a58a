"""An arena of robots: one simulated robot for each value of an option, to try a policy on all of them in one batch."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.evaluate import Arena
from dmh_edge.robots.find import find_robot
from dmh_edge.robots.protocol import Reading, Robot
from dmh_edge.runtime.loop.preflight import check_fit
from dmh_edge.settings import parse_setting
from dmh_edge.task import DiscreteAction, TaskSpec, bounds_of

#: Robots at most: each is an object of its own, and one typing error in a range should not make a million.
MOST = 1024


def combinations(varied: Sequence[str]) -> list[dict[str, Any]]:
    """Return the options of each robot: all combinations of the values of all options.

    Args:
        varied: options in the form ``target=0:24``, which means 0, 1, ... 23, or ``mass=1:2:0.25``, or with a JSON list
            of values: ``place=[[0.1, 0.2], [0.3, 0.4]]``.

    Raises:
        ConfigError: a text has another form, or there are no values or too many.
    """
    options = dict(_values(text) for text in varied)
    found = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    if len(found) > MOST:
        raise ConfigError(f"--vary: got {len(found):,} combinations, expected at most {MOST:,}")
    return found


def _values(text: str) -> tuple[str, list[Any]]:
    name, value = parse_setting(text, "--vary", "target=0:24")
    if isinstance(value, list) and value:
        return name, value
    try:
        parts = [json.loads(part) for part in str(value).split(":")]
        if len(parts) not in (2, 3) or any(
            isinstance(part, bool) or not isinstance(part, int | float) for part in parts
        ):
            raise ValueError
        values = np.arange(*parts).tolist()
    except (ValueError, ZeroDivisionError):
        values = []
    if not 0 < len(values) <= MOST:
        raise ConfigError(
            f"--vary {text}: expected {name}=START:STOP or {name}=START:STOP:STEP with 1 to {MOST:,} values, e.g. "
            f"{name}=0:24, or a JSON list of values"
        )
    return name, values


def robot_arena(name: str, task: TaskSpec, options: Mapping[str, Any], varied: Sequence[str], seed: int = 0) -> Arena:
    """Make one robot for each combination of varied options, connect and arm them all.

    Args:
        name: name of the robot, as for `dmh-edge run --robot`.
        task: task of the policy.
        options: options that all robots have.
        varied: options that differ; see `combinations`.
        seed: seed of the first robot; the others have the following ones.

    Raises:
        ConfigError, RobotError, ContractError: a robot cannot be made or does not fit, or is not one to be tried so.
    """
    robots: list[Robot] = []
    settings = combinations(varied)
    with contextlib.ExitStack() as undo:
        for number, setting in enumerate(settings):
            if both := options.keys() & setting.keys():
                raise ConfigError(f"--vary {min(both)}: the option is given by --robot-option as well; leave out one")
            robot = find_robot(name, task=task, options={**options, **setting}, seed=seed + number)
            if not (robot.simulated and robot.lockstep):
                raise RobotError(
                    f"{name} is a machine or runs in real time, and this command steps simulated robots in lockstep, "
                    "without guard and watchdog; use `dmh-edge run --episodes 20` for it, once for each setting"
                )
            check_fit(robot, task, task.rate_hz)
            undo.callback(robot.close)
            undo.callback(robot.stop)
            robot.connect()
            robot.arm()
            robots.append(robot)
        environments = RobotVectorEnv(robots, task)
        undo.pop_all()
    labels = tuple(", ".join(f"{key}={value}" for key, value in setting.items()) for setting in settings)
    return Arena(task.name, (), labels, environments, environments.expert)


class RobotVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """N simulated robots in lockstep as N environments, with autoreset disabled.

    Args:
        robots: the robots, connected and armed; `close` stops and closes them.
        task: task of all of them.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(self, robots: Sequence[Robot], task: TaskSpec) -> None:
        self._robots, self._task = list(robots), task
        self.num_envs = len(robots)
        self.single_observation_space = Box(*bounds_of(task.observation, np.float32))
        action = task.action
        self.single_action_space = (
            Discrete(action.size)
            if isinstance(action, DiscreteAction)
            else Box(*bounds_of(action.elements, np.float32))
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._steps = np.zeros(self.num_envs, np.int64)
        self._readings: list[Reading | None] = [None] * self.num_envs

    @property
    def expert(self) -> Any:
        """Advises what the robots' own ``expert_action(observation)`` says; None if they have no such method."""
        experts = [getattr(robot, "expert_action", None) for robot in self._robots]
        if not all(map(callable, experts)):
            return None

        def advise(observation: NDArray[np.float32], _phase: NDArray[np.int64]) -> NDArray[Any]:
            dtype = np.int64 if isinstance(self._task.action, DiscreteAction) else np.float32
            return np.array([one(seen) for one, seen in zip(experts, observation, strict=True)], dtype)  # type: ignore[misc]

        return advise

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episodes: of the robots where ``options["reset_mask"]`` is true, or of all. Robots take no seed."""
        super().reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        for row in np.flatnonzero(mask).tolist():
            self._robots[row].reset()
            self._readings[row] = self._robots[row].read()
        self._steps[mask] = 0
        return self._observation(), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Write an action to every robot, and read the result."""
        reward = np.zeros(self.num_envs)
        over = np.zeros((2, self.num_envs), np.bool_)
        for row, robot in enumerate(self._robots):
            robot.write(np.array(actions[row]))
            reading = robot.read()
            self._readings[row] = reading
            reward[row] = reading.reward if reading.reward_valid else 0.0
            over[:, row] = reading.terminated, reading.truncated
        self._steps += 1
        return self._observation(), reward, over[0], over[1] | (self._steps >= self._task.horizon), {}

    def close_extras(self, **_: Any) -> None:
        """Stop and close all robots, also if one of them fails to."""
        with contextlib.ExitStack() as stack:
            for robot in self._robots:
                stack.callback(robot.close)
                stack.callback(robot.stop)

    def _observation(self) -> NDArray[np.float32]:
        return np.stack([reading.observation for reading in self._readings if reading is not None]).astype(np.float32)
