"""Gymnasium's spaces and a `TaskSpec`: derive a task from spaces, or list element by element what does not fit.

A foreign environment has spaces, but no names. A policy's task fits it if the vectors are equally long, the environment
accepts every action that the policy can take, and the policy expects every observation that the environment can return.
An infinite bound of an observation is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmh_edge.errors import RobotError
from dmh_edge.task import ROUNDING, ContinuousAction, DiscreteAction, Element, Reward, TaskSpec

if TYPE_CHECKING:
    import gymnasium

#: Value for an unknown bound: the largest number that a policy can get.
_UNKNOWN = float(np.finfo(np.float32).max)
#: Horizon of an episode without a limit.
_ENDLESS = 2**31 - 1


def derive_task(name: str, environment: gymnasium.Env[Any, Any]) -> TaskSpec:
    """Derive the task of an environment without a task description; its elements have numbers in place of names.

    Raises:
        RobotError: no policy here can use its spaces, or its control rate cannot be found.
    """
    _refuse_other_spaces(name, environment)
    rate_hz = known_rate_hz(environment) or environment.metadata.get("render_fps")
    if not rate_hz:
        raise RobotError(
            f"{name}: got an environment with neither `dt` nor `render_fps`, expected its control rate; "
            "give the environment a `dt` in seconds"
        )
    limit = environment.spec.max_episode_steps if environment.spec else None
    threshold = environment.spec.reward_threshold if environment.spec else None
    return TaskSpec(
        name=name,
        observation=_elements("observation", environment.observation_space),
        action=_action(environment.action_space),
        reward=Reward(meaning=f"the reward of {name}", low=-_UNKNOWN, high=_UNKNOWN),
        rate_hz=rate_hz,
        horizon=limit or _ENDLESS,
        target_return=threshold or 0.0,
    )


def is_unlimited(task: TaskSpec) -> bool:
    """Whether the episodes of a derived task have no limit."""
    return task.horizon == _ENDLESS


def is_unbounded(element: Element) -> bool:
    """Whether an element of a derived task has a bound that its space does not tell."""
    return max(abs(element.low), abs(element.high)) >= _UNKNOWN


def refuse_misfit(name: str, environment: gymnasium.Env[Any, Any], task: TaskSpec) -> None:
    """Refuse an environment that does not fit a task.

    Raises:
        RobotError: it does not fit; every difference is listed.
    """
    _refuse_other_spaces(name, environment)
    faults = _observation_misfits(environment.observation_space, task)
    faults += _action_misfits(environment.action_space, task)
    rate_hz = known_rate_hz(environment)
    if rate_hz is not None and not np.isclose(rate_hz, task.rate_hz, rtol=ROUNDING):
        faults.append(f"rate: the environment steps at {rate_hz:g} Hz, the task at {task.rate_hz:g} Hz")
    if faults:
        raise RobotError(f"{name} does not fit the task {task.name!r}:\n  " + "\n  ".join(faults))


def known_rate_hz(environment: gymnasium.Env[Any, Any]) -> float | None:
    """Control rate in Hz of an environment that has the duration of a step (``dt``); None where it has none."""
    step_s = getattr(environment.unwrapped, "dt", None)
    return 1 / step_s if isinstance(step_s, (int, float)) and step_s > 0 else None


def _refuse_other_spaces(name: str, environment: gymnasium.Env[Any, Any]) -> None:
    from gymnasium.spaces import Box, Discrete

    faults = []
    if not isinstance(environment.observation_space, Box):
        faults.append(f"observation: got {environment.observation_space}, expected a Box")
    if not isinstance(environment.action_space, (Box, Discrete)):
        faults.append(f"action: got {environment.action_space}, expected a Box or a Discrete")
    if faults:
        raise RobotError(f"{name} has spaces that no policy here can use:\n  " + "\n  ".join(faults))


def _elements(kind: str, space: Any) -> tuple[Element, ...]:
    lows, highs = (np.clip(bound.ravel().astype(float), -_UNKNOWN, _UNKNOWN) for bound in (space.low, space.high))
    return tuple(
        Element(name=f"{kind}_{index}", low=low, high=high)
        for index, (low, high) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True))
    )


def _action(space: Any) -> ContinuousAction | DiscreteAction:
    if hasattr(space, "n"):
        return DiscreteAction(names=tuple(f"action_{index}" for index in range(int(space.n))), safe=0)
    elements = _elements("action", space)
    safe = tuple(min(max(0.0, element.low), element.high) for element in elements)
    return ContinuousAction(elements=elements, mode="effort", safe=safe)  # in this mode no action is held after a fault


def _observation_misfits(space: Any, task: TaskSpec) -> list[str]:
    size = int(np.prod(space.shape))
    if size != len(task.observation):
        return [f"observation: the environment shows {size} elements, the task has {len(task.observation)}"]
    return [
        f"observation {index} ({element.name}): the environment shows {low:g} to {high:g}, "
        f"the task expects {element.low:g} to {element.high:g}"
        for index, (element, low, high) in enumerate(
            zip(task.observation, space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
        )
        if (np.isfinite(low) and low < element.low - _slack(element))
        or (np.isfinite(high) and high > element.high + _slack(element))
    ]


def _action_misfits(space: Any, task: TaskSpec) -> list[str]:
    action = task.action
    if isinstance(action, DiscreteAction):
        if not hasattr(space, "n"):
            return [f"action: the environment takes {space}, the task chooses among {action.size}"]
        if int(space.n) != action.size:
            return [f"action: the environment has {int(space.n)} choices, the task has {action.size}"]
        return []
    if hasattr(space, "n"):
        return [f"action: the environment takes one of {int(space.n)} choices, the task has {action.size} numbers"]
    size = int(np.prod(space.shape))
    if size != action.size:
        return [f"action: the environment takes {size} numbers, the task has {action.size}"]
    return [
        f"action {index} ({element.name}): the environment takes {low:g} to {high:g}, "
        f"the task's are {element.low:g} to {element.high:g}"
        for index, (element, low, high) in enumerate(
            zip(action.elements, space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
        )
        if element.low < low - _slack(element) or element.high > high + _slack(element)
    ]


def _slack(element: Element) -> float:
    """How far an environment's bound may be from the element's bound: bounds are often given in float32."""
    return ROUNDING * max(abs(element.low), abs(element.high))
