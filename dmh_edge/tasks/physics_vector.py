"""Many environments with MuJoCo physics in one call: `mujoco.rollout` steps them, numpy computes what they observe.

Each row is the environment that gymnasium would make for its hidden task and seed: it starts alike, and its
observations and rewards are equal up to float32 rounding. No row depends on another one or on the number of threads.
The threads are MuJoCo's own. There are as many as ``OMP_NUM_THREADS`` says, or else as there are cores, with at least
`ROWS_PER_THREAD` rows for each.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.tasks.family import ENDLESS, require_hidden
from dmh_edge.tasks.physics_env import PhysicsEnv, State

#: With fewer rows, a thread takes longer to start on them than to step them.
ROWS_PER_THREAD = 8

_PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
#: What holds during a step: controls, and forces on the bodies such as the weight of a payload.
_INPUTS = mujoco.mjtState.mjSTATE_CTRL.value | mujoco.mjtState.mjSTATE_XFRC_APPLIED.value


class PhysicsVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """N environments of one task, with autoreset disabled.

    Args:
        make: makes an environment of the task for a hidden task.
        hidden: number of the hidden task of each row; at least one.
        threads: number of threads; None for what the module's docstring says.

    Raises:
        ConfigError: there is no such hidden task, no row, or no thread.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(self, make: Callable[[int], PhysicsEnv], hidden: Sequence[int], threads: int | None = None) -> None:
        if len(hidden) == 0:
            raise ConfigError("environments: got no hidden task, expected the number of at least one")
        self._one = one = make(hidden[0])
        for number in hidden:
            require_hidden(one.task.name, number, ENDLESS)
        self._hidden = np.array(hidden, np.int64)
        self.num_envs = count = len(hidden)
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)

        threads = _threads(count) if threads is None else threads
        if threads < 1:
            raise ConfigError(f"{one.task.name}: got threads = {threads}, expected 1 or more")
        self._rollout: Rollout | None = Rollout(nthread=threads if threads > 1 else 0)
        self._models = [copy.copy(one.model) for _ in hidden]
        self._data = [mujoco.MjData(one.model) for _ in range(threads)]
        self._rngs: list[np.random.Generator | None] = [None] * count
        self._steps = np.zeros(count, np.int64)  # of each row's episode
        self._begun = np.zeros(count, np.bool_)
        size, inputs = (mujoco.mj_stateSize(one.model, part) for part in (_PHYSICS, _INPUTS))
        self._state = np.zeros((count, size))  # [N, time, nq, nv]
        self._after = np.zeros((count, one.frame_skip, size))  # after each step of the physics
        self._inputs = np.zeros((count, one.frame_skip, inputs))  # [N, steps, controls, forces]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin episodes: where ``options["reset_mask"]`` is true, or in all rows.

        Args:
            seed: seed of the first row, whose successors are the seeds of the others; or one seed per row. None: the
                rows go on with the random generators that they have.
            options: may hold ``reset_mask``, ``[N]`` bool.

        Raises:
            ConfigError: the mask or the list of seeds does not fit the rows.
        """
        count = self.num_envs
        if seed is None or isinstance(seed, int | np.integer):
            seed = [None if seed is None else int(seed) + row for row in range(count)]
        mask = np.asarray((options or {}).get("reset_mask", np.ones(count, np.bool_)))
        if len(seed) != count:
            raise ConfigError(
                f"{self._one.task.name}: got {len(seed)} seeds for {count} environments; give one for each, or a number"
            )
        if mask.shape != (count,) or mask.dtype != np.bool_:
            raise ConfigError(
                f"{self._one.task.name}: got a reset_mask of shape {mask.shape} and type {mask.dtype}, "
                f"expected shape ({count},) and type bool"
            )
        for row in np.flatnonzero(mask).tolist():
            self._begin(row, seed[row])
        return self._show(), self._information()

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every row by one control period; an episode ends only when its time is over.

        Raises:
            ConfigError: the actions have a wrong shape.
            ResetNeeded: a row was never reset.
            ClosedEnvironmentError: the environments were closed.
        """
        one = self._one
        if self._rollout is None:
            raise gymnasium.error.ClosedEnvironmentError("step() was called after close(); make new environments")
        if not self._begun.all():
            raise gymnasium.error.ResetNeeded("call reset() for all rows before step()")
        if np.shape(actions) != (self.num_envs, one.model.nu):
            expected = (self.num_envs, one.model.nu)
            raise ConfigError(f"{one.task.name}: got actions of shape {np.shape(actions)}, expected {expected}")
        self._inputs[:, :, : one.model.nu] = np.asarray(actions)[:, None]
        self._rollout.rollout(
            self._models,
            self._data,
            self._state,
            self._inputs,
            control_spec=_INPUTS,
            skip_checks=True,
            nstep=one.frame_skip,
            state=self._after,
        )
        self._state[:] = self._after[:, -1]
        self._steps += 1
        reward = one.pay(self._now())
        over = self._steps >= one.task.horizon
        return self._show(), reward, np.zeros(self.num_envs, np.bool_), over, self._information()

    def close_extras(self, **_: Any) -> None:
        """End the threads."""
        if self._rollout is not None:
            self._rollout.close()
            self._rollout = None
        self._one.close()  # type: ignore[no-untyped-call]

    def _begin(self, row: int, seed: int | None) -> None:
        """Begin an episode in one row, as ``gymnasium.Env.reset(seed=seed)`` does."""
        rng = self._rngs[row]
        if seed is not None or rng is None:
            rng, _ = seeding.np_random(seed)
            self._rngs[row] = rng
        model, data = self._models[row], self._data[0]
        mujoco.mj_resetData(model, data)
        self._one.begin(model, data, rng, int(self._hidden[row]))
        mujoco.mj_getState(model, data, self._state[row], _PHYSICS)
        self._inputs[row, :, model.nu :] = data.xfrc_applied.ravel()
        self._steps[row] = 0
        self._begun[row] = True

    def _now(self) -> State:
        nq, nv = self._one.model.nq, self._one.model.nv
        return State(self._state[:, 1 : 1 + nq], self._state[:, 1 + nq : 1 + nq + nv], self._state[:, 0], self._hidden)

    def _show(self) -> NDArray[np.float32]:
        return self._one.show(self._now()).astype(np.float32)

    def _information(self) -> dict[str, Any]:
        return {"hidden": self._hidden.copy()}


def _threads(rows: int) -> int:
    """Return how many threads step so many rows."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    cores = int(asked) if asked.isdecimal() else len(os.sched_getaffinity(0))
    return max(1, min(cores, rows // ROWS_PER_THREAD))
