"""Many gymnasium environments of one's own in one vector environment, as `Task.vector` needs it.

gymnasium's ``SyncVectorEnv`` refuses to step an environment whose episode is over, and forgets the ``phase`` of those
that a reset leaves out. Here, such an environment stands still until its reset, and every row keeps its phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError

Environment = gymnasium.Env[Any, Any]


class OwnVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """N environments in one process, with autoreset disabled.

    Args:
        name: name of the task, for errors.
        make: makes the environment of a hidden task from its number.
        horizon: number of steps after which an episode ends at the latest.
        hidden: numbers of the hidden tasks.

    Raises:
        ConfigError: ``make`` returned one environment twice, or one with other spaces than the first.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(self, name: str, make: Callable[[int], Environment], horizon: int, hidden: Sequence[int]) -> None:
        self._name, self._hidden = name, [int(number) for number in hidden]
        made = [make(number) for number in self._hidden]
        self._environments = [TimeLimit(environment, horizon) for environment in made]
        self.num_envs = len(made)
        self.single_observation_space, self.single_action_space = made[0].observation_space, made[0].action_space
        self._refuse_misfits(made)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._observation = np.zeros((self.num_envs, *(self.single_observation_space.shape or ())), np.float32)
        self._over = np.zeros((2, self.num_envs), np.bool_)  # terminated, truncated
        self._phase = np.zeros(self.num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episodes: where ``options["reset_mask"]`` is true, or everywhere. Row i gets the seed ``seed + i``."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        for row in np.flatnonzero(mask).tolist():
            observation, info = self._environments[row].reset(seed=None if seed is None else seed + row)
            self._see(row, observation, info)
        self._over[:, mask] = False
        return self._observation.copy(), {"phase": self._phase.copy()}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment whose episode is not over."""
        reward = np.zeros(self.num_envs)
        for row in np.flatnonzero(~self._over.any(axis=0)).tolist():
            observation, paid, terminated, truncated, info = self._environments[row].step(actions[row])
            self._see(row, observation, info)
            reward[row] = self._finite(row, "reward", paid)
            self._over[:, row] = terminated, truncated
        terminated, truncated = self._over.copy()
        return self._observation.copy(), reward, terminated, truncated, {"phase": self._phase.copy()}

    def close_extras(self, **_: Any) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    def _see(self, row: int, observation: Any, info: dict[str, Any]) -> None:
        self._observation[row] = self._finite(row, "observation", observation)
        self._phase[row] = info.get("phase", 0)

    def _finite(self, row: int, what: str, value: Any) -> Any:
        if not np.isfinite(value).all():
            raise ConfigError(
                f"task {self._name}: the environment of hidden task {self._hidden[row]} returned {what} {value}, "
                "expected finite numbers"
            )
        return value

    def _refuse_misfits(self, made: Sequence[Environment]) -> None:
        if len({id(environment) for environment in made}) < len(made):
            raise ConfigError(
                f"task {self._name}: make returned the same environment twice; let it make a new one in each call"
            )
        for number, environment in zip(self._hidden, made, strict=True):
            for what in ("observation_space", "action_space"):
                if (got := getattr(environment, what)) != (expected := getattr(made[0], what)):
                    raise ConfigError(
                        f"task {self._name}: the environment of hidden task {number} has the {what} {got}, that of "
                        f"hidden task {self._hidden[0]} has {expected}; all of them must have the same"
                    )
