"""A task of your own, made from a gymnasium environment whose hidden parameters you can set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.spaces import derive_task, is_unbounded, is_unlimited, refuse_misfit
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec, bounds_of
from dmh_edge.tasks.family import ENDLESS, Expert, Task, phase_of
from dmh_edge.tasks.own_vector import Environment, OwnVectorEnv

#: Hidden tasks on which bounds are measured.
_MEASURED = 8


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
            hidden. `dmh_edge.experts` loads trained ones. ``phase`` is what ``info["phase"]`` holds, or zeros. Actions
            beyond their bounds are clipped.
        spec: names, units and bounds of everything; None to derive them from the spaces of the environment. Bounds that
            are infinite there, and those of the reward, are measured: the range that the expert, an expert that is
            wrong about what is hidden, and random actions show on a few hidden tasks, with a margin as wide as this
            range on either side.
        horizon: steps of the longest episode; None for the spec's, or the environment's own limit.
        train: number of hidden tasks to record histories of: 0, 1, ...
        test: number of hidden tasks after those that are never learned from, and that `dmh-edge eval` plays.
        endless: whether ``make`` takes any number, so that own steps are learned on a new hidden task every time.

    Raises:
        ConfigError: a policy cannot use the environment's spaces, they do not fit ``spec``, the horizon or the control
            rate cannot be found, ``train`` or ``test`` is below 1, or the expert returns something else than actions.
    """
    if spec is not None and spec.name != name:
        raise ConfigError(f"task {name}: got a spec with the name {spec.name!r}, expected {name!r}; give both one name")
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
        vector=functools.partial(OwnVectorEnv, name, make, full.horizon),
        expert=_checked(name, expert, full.action),
        pool=range(train + test, ENDLESS) if endless else (),
    )
    seen = _measure(task)
    return task if spec is not None else _with_measured_bounds(task, *seen)


def _checked(name: str, expert: Expert, action: ContinuousAction | DiscreteAction) -> Expert:
    """Make an expert return actions of the right type and within their bounds, or an error that says what it returns.

    Raises:
        ConfigError: the expert returned another shape, other choices, or numbers that are not finite.
    """
    row = (action.size,) if isinstance(action, ContinuousAction) else ()
    bounds = bounds_of(action.elements, np.float32) if isinstance(action, ContinuousAction) else ()

    def advise(observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]) -> NDArray[Any]:
        advised = np.asarray(expert(observation, hidden, phase))
        if advised.shape != (expected := (len(observation), *row)):
            raise ConfigError(
                f"task {name}: the expert returned an array of shape {advised.shape}, expected {expected}: one action "
                "for each observation"
            )
        if isinstance(action, DiscreteAction):
            if advised.dtype.kind not in "iu" or not np.isin(advised, range(action.size)).all():
                raise ConfigError(
                    f"task {name}: the expert returned {advised.dtype} {advised}, expected whole numbers, 0 to "
                    f"{action.size - 1}"
                )
            return advised.astype(np.int64)
        if advised.dtype.kind not in "fiu" or not np.isfinite(advised).all():
            raise ConfigError(f"task {name}: the expert returned {advised}, expected finite numbers")
        clipped: NDArray[np.float32] = np.clip(advised.astype(np.float32), *bounds)
        return clipped

    return advise


def _refuse_shapes(name: str, environment: Environment) -> None:
    observation, action = environment.observation_space, environment.action_space
    for what, space in (("observation", observation), ("action", action)):
        if isinstance(space, Box) and len(space.shape) != 1:
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


def _with_measured_bounds(task: Task, seen: NDArray[np.float64], paid: NDArray[np.float64], returned: float) -> Task:
    """Replace the bounds that the spaces do not tell by measured ones, and the target return by the expert's.

    Args:
        task: the task.
        seen: observations ``[n, S]``.
        paid: rewards ``[m]``.
        returned: mean return of the expert.
    """
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
    """Play three episodes on a few hidden tasks: by the expert, by one that is wrong about what is hidden, at random.

    Returns:
        all observations ``[n, S]``, all rewards ``[m]``, and the mean return of the expert.
    """
    hidden = np.array(task.train_ids[:_MEASURED], np.int64)
    environments = task.vector(hidden.tolist())
    environments.action_space.seed(0)
    seen, paid, returned = [], [], 0.0
    try:
        for believed in (hidden, np.roll(hidden, 1), None):
            observation, info = environments.reset(seed=0)
            over = np.zeros(len(hidden), np.bool_)
            while not over.all():
                seen.append(observation[~over])
                phase = phase_of(info, len(hidden))
                if believed is None:
                    action = environments.action_space.sample()
                else:
                    action = task.expert(observation, believed, phase)
                observation, reward, terminated, truncated, info = environments.step(action)
                paid.append(reward[~over])
                seen.append(observation[~over])
                returned += float(reward[~over].sum()) * (believed is hidden)
                over |= terminated | truncated
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
