"""A task of your own, made from a gymnasium environment whose hidden parameters you can set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.spaces import derive_task, is_unbounded, is_unlimited, refuse_misfit
from dmh_edge.task import Element, Reward, TaskSpec
from dmh_edge.tasks.family import ENDLESS, Expert, Task, phase_of

Environment = gymnasium.Env[Any, Any]

#: Hidden tasks on which bounds are measured, once with the expert and once with random actions.
_MEASURED = 4


def gymnasium_task(
    name: str,
    make: Callable[[int], Environment],
    expert: Expert,
    *,
    spec: TaskSpec | None = None,
    horizon: int | None = None,
    train: int = 80,
    test: int = 16,
    endless: bool = True,
) -> Task:
    """Make a task from a gymnasium environment.

    Args:
        name: name of the task; one word.
        make: makes the environment of a hidden task from its number: 0, 1, 2 ... The number can be an index into a
            table of yours, or a seed: ``np.random.default_rng(number)`` draws the same hidden parameters every time.
        expert: ``(observation [N, S], hidden [N], phase [N]) -> action [N, A] or [N]``: acts well, and may know what is
            hidden. `dmh_edge.experts` loads trained ones. ``phase`` is what ``info["phase"]`` holds, or zeros.
        spec: names, units and bounds of everything; None to derive them from the spaces of the environment. Bounds that
            are infinite there, and those of the reward, are measured: the range that expert and random actions show on
            a few hidden tasks, with a margin as wide as this range on either side.
        horizon: steps of the longest episode; None for the spec's, or the environment's own limit.
        train: number of hidden tasks to record histories of: 0, 1, ...
        test: number of hidden tasks after those that are never learned from, and that `dmh-edge eval` plays.
        endless: whether ``make`` takes any number, so that own steps are learned on a new hidden task every time.

    Raises:
        ConfigError: a policy cannot use the environment's spaces, they do not fit ``spec``, the horizon or the control
            rate cannot be found, or ``train`` or ``test`` is below 1.
    """
    for what, count in (("train", train), ("test", test)):
        if count < 1:
            raise ConfigError(f"task {name}: got {what} = {count}, expected at least 1")
    environment = make(0)
    try:
        _refuse_shapes(name, environment)
        if spec is None:
            full = derive_task(name, environment)
        else:
            full = spec
            refuse_misfit(name, environment, spec)
    except RobotError as error:
        raise ConfigError(f"task {error}") from error
    finally:
        environment.close()
    if horizon is None and is_unlimited(full):
        raise ConfigError(
            f"task {name}: episodes of this environment do not end; give horizon=, the steps of the longest"
        )
    full = full if horizon is None else full.model_copy(update={"horizon": horizon})
    task = Task(
        spec=full,
        train_ids=tuple(range(train)),
        test_ids=tuple(range(train, train + test)),
        vector=functools.partial(_vector, make, full.horizon),
        expert=expert,
        pool=range(train + test, ENDLESS) if endless else (),
    )
    return task if spec is not None else _with_measured_bounds(task)


def _refuse_shapes(name: str, environment: Environment) -> None:
    observation, action = environment.observation_space, environment.action_space
    for what, space in (("observation", observation), ("action", action)):
        if len(space.shape or ()) > 1:
            raise ConfigError(
                f"task {name}: {what}: got a Box of shape {space.shape}, expected one axis; "
                "gymnasium.wrappers.FlattenObservation makes one axis of several"
            )
    if isinstance(action, Box) and not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        raise ConfigError(
            f"task {name}: action: got {action}, expected finite bounds; gymnasium.wrappers.RescaleAction sets them"
        )
    if getattr(action, "start", 0) != 0:
        raise ConfigError(f"task {name}: action: got {action}, expected choices that are counted from 0")


def _vector(make: Callable[[int], Environment], horizon: int, hidden: Sequence[int]) -> SyncVectorEnv:
    """Make environments of hidden tasks that end after ``horizon`` steps at the latest."""

    def maker(number: int) -> Callable[[], Environment]:
        return lambda: TimeLimit(make(number), horizon)

    return SyncVectorEnv([maker(int(number)) for number in hidden], autoreset_mode=AutoresetMode.DISABLED)


def _with_measured_bounds(task: Task) -> Task:
    """Replace the bounds that the spaces do not tell by measured ones, and the target return by the expert's."""
    seen, paid, returned = _measure(task)
    for what, values in (("observation", seen), ("reward", paid[:, None])):
        if not np.isfinite(values).all():
            raise ConfigError(f"task {task.spec.name}: the environment returned a {what} that is not a finite number")
    spec = task.spec
    low, high = _widened(seen.min(axis=0), seen.max(axis=0))
    elements = tuple(
        Element(name=element.name, low=below, high=above) if is_unbounded(element) else element
        for element, below, above in zip(spec.observation, low.tolist(), high.tolist(), strict=True)
    )
    least, most = _widened(paid.min(keepdims=True), paid.max(keepdims=True))
    changed = spec.model_copy(
        update={
            "observation": elements,
            "reward": Reward(meaning=spec.reward.meaning, low=float(least[0]), high=float(most[0])),
            "target_return": float(f"{returned:.3g}"),
        }
    )
    return Task(**{**vars(task), "spec": changed})


def _measure(task: Task) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Play one episode with the expert and one with random actions on a few hidden tasks.

    Returns:
        all observations ``[n, S]``, all rewards ``[m]``, and the mean return of the expert.
    """
    hidden = np.array(task.train_ids[:_MEASURED], np.int64)
    environments = task.vector(hidden.tolist())
    environments.action_space.seed(0)
    seen, paid, returned = [], [], 0.0
    try:
        for knows in (True, False):
            observation, info = environments.reset(seed=0)
            over = np.zeros(len(hidden), np.bool_)
            while not over.all():
                seen.append(observation[~over])
                phase = phase_of(info, len(hidden))
                action = task.expert(observation, hidden, phase) if knows else environments.action_space.sample()
                observation, reward, terminated, truncated, info = environments.step(action)
                paid.append(reward[~over])
                seen.append(observation[~over])
                returned += float(reward[~over].sum()) * knows
                over |= terminated | truncated
                if over.any() and not over.all():  # some environments refuse to be stepped after their episode
                    observation, info = environments.reset(options={"reset_mask": over.copy()})
    finally:
        environments.close()
    return np.concatenate(seen).astype(float), np.concatenate(paid).astype(float), returned / len(hidden)


def _widened(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add a margin as wide as the range on either side, and round outwards to two digits."""
    margin = np.maximum(high - low, 1e-3 * np.maximum(1, np.maximum(np.abs(low), np.abs(high))))
    return _rounded(low - margin, np.floor), _rounded(high + margin, np.ceil)


def _rounded(values: NDArray[np.float64], towards: Any) -> NDArray[np.float64]:
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-12))) - 1)
    rounded = towards(values / unit) * unit
    return np.array([float(f"{value:.2g}") for value in rounded])  # 0.35, not 0.35000000000000003
