"""``gym:<id>``: any gymnasium environment whose spaces fit the policy's task, in lockstep.

``write`` steps the environment, and ``read`` returns the result; between two writes the environment's time stands
still. Only the first reset gets the seed, so that what an environment hides stays the same over the episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dmh_edge.clock import Clock, MonotonicClock
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.lifecycle import Lifecycle
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.spaces import derive_task, refuse_misfit
from dmh_edge.task import TaskSpec

if TYPE_CHECKING:
    import gymnasium


class GymRobot:
    """One environment as a robot.

    Args:
        environment_id: id for ``gymnasium.make``: ``darkroom``, ``Reacher-v5``, ``package.module:MyEnv-v0``.
        task: task that a foreign environment must fit; None to derive it from the spaces. The environments of this
            package have their own tasks.
        options: further arguments of ``gymnasium.make``, e.g. ``hidden=3``.
        seed: seed of the first reset.
        clock: clock for the stamps of the readings; None for the machine's clock.

    Raises:
        MissingExtraError: gymnasium is not installed.
        ConfigError: there is no such environment, or it does not have an option.
        RobotError: its spaces do not fit the task.
    """

    lockstep = True
    simulated = True
    command_timeout_s = None
    stop_path = None  # it runs in this process, and stands still when this process does
    damp = None  # an environment has no brakes

    def __init__(
        self,
        environment_id: str,
        *,
        task: TaskSpec | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._name = f"gym:{environment_id}"
        environment_id = environment_id.removeprefix(
            "dmh_edge.tasks:"
        )  # our own environments have ids with and without it
        own_task = _own_task(environment_id)
        if own_task is not None:
            _refuse_fixed(environment_id, options or {})
        self._environment = _make(environment_id, options or {})
        self._clock = MonotonicClock() if clock is None else clock
        self._life = Lifecycle(self._name)
        self._seed: int | None = seed
        self._last: Reading | None = None
        if own_task is None and task is None:
            self.task = derive_task(self._name, self._environment)
        else:
            self.task = own_task or task  # type: ignore[assignment]  # one of the two is given
            refuse_misfit(self._name, self._environment, self.task)

    def connect(self) -> None:
        """Note the connection: the environment runs in this process."""
        self._life.connect()

    def arm(self) -> None:
        """Let actions step the environment."""
        self._life.arm()

    def reset(self) -> None:
        """Start an episode."""
        self._life.check_reset()
        observation, _ = self._environment.reset(seed=self._seed)
        self._seed = None
        self._last = self._reading(observation)
        self._life.reset()

    def read(self) -> Reading:
        """The result of the last ``write`` or ``reset``, stamped now: no time has passed in the environment since."""
        self._life.check_read()
        if self._last is None:
            raise RobotError(f"{self._name} cannot be read: no episode has been started; call reset first")
        last = self._last
        return Reading(
            self._clock.now_ns(),
            last.observation.copy(),
            last.reward,
            terminated=last.terminated,
            truncated=last.truncated,
        )

    def write(self, action: Action) -> Action:
        """Step the environment."""
        self._life.check_write()
        if self._last is not None and self._last.episode_over:
            raise RobotError(f"{self._name} refuses write: the episode is over; call reset first")
        space: Any = self._environment.action_space
        if hasattr(space, "n"):
            given = int(action) + int(space.start)
        else:
            given = np.asarray(action, space.dtype).reshape(space.shape)
        observation, reward, terminated, truncated, _ = self._environment.step(given)
        self._last = self._reading(observation, float(reward), bool(terminated), bool(truncated))
        return np.array(action)

    def stop(self) -> None:
        """Take no more steps: an environment that is not stepped stands still."""
        self._life.stop()

    def close(self) -> None:
        """Close the environment."""
        self._life.close()
        self._environment.close()

    def _reading(
        self, observation: Any, reward: float = 0.0, terminated: bool = False, truncated: bool = False
    ) -> Reading:
        flat = np.array(observation, np.float32).reshape(-1)
        return Reading(self._clock.now_ns(), flat, reward, terminated=terminated, truncated=truncated)


def _own_task(environment_id: str) -> TaskSpec | None:
    """The spec of a task of this package, else None; the search also registers these tasks with gymnasium."""
    from dmh_edge import tasks  # where gymnasium is missing, this raises an error that names the extra

    try:
        return tasks.find(environment_id).spec
    except ConfigError:
        return None


def _refuse_fixed(environment_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that the id of one of our own environments already fixes."""
    import gymnasium

    for name, value in gymnasium.spec(environment_id).kwargs.items():
        if name in options:
            raise ConfigError(
                f"gym:{environment_id}: {name} is always {value!r} there and not an option; "
                "name the environment that you mean"
            )


def _make(environment_id: str, options: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    try:
        # gymnasium's checker warns about the style of an environment; everything important is checked here and in the
        # loop.
        return gymnasium.make(environment_id, disable_env_checker=True, **options)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"gym:{environment_id} needs a package that is not installed: {error}") from error
    except gymnasium.error.UnregisteredEnv as error:
        raise ConfigError(f"gym:{environment_id}: {error}") from error
    except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
        raise ConfigError(f"gym:{environment_id} cannot be made: {error}") from error
