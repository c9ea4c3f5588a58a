"""Random worlds for parity: possible inputs of a policy for a batch of robots, tick by tick.

Inputs are random, because zeros hide defects. Episodes have different lengths and the rows are out of phase, so that
chunks and memories restart at different ticks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import DType, ModelSpec
from dmh_edge.task import ContinuousAction, Element, TaskSpec

World = dict[str, NDArray[Any]]


def random_world(task: TaskSpec, model: ModelSpec, longest_episode: int, ticks: int, batch: int) -> World:
    """Return world tensors ``[T, B, ...]`` by name; the same arguments give the same tensors.

    The first tick of every row starts an episode with reward 0.

    Args:
        task: specification with the bounds of observations, actions and rewards.
        model: specification with the names of the world tensors.
        longest_episode: ticks of the longest episode; the shortest has 1 tick.
        ticks: number of ticks, T.
        batch: number of robots, B.
    """
    random = np.random.default_rng(0)
    types: dict[str, DType] = {spec.name: spec.dtype for spec in model.world}
    world: World = {
        "observation": np.stack([_draw(random, element, (ticks, batch)) for element in task.observation], -1),
        "reward": random.uniform(task.reward.low, task.reward.high, (ticks, batch)),
        "previous_action": _actions(random, task, (ticks, batch)),
        "episode_start": _episode_starts(random, ticks, batch, longest_episode),
        "target_return": task.target_return * random.uniform(0.5, 1.5, (ticks, batch)),
    }
    if "noise" in types:  # some policies read no noise
        world["noise"] = random.standard_normal((ticks, *model.tensor("noise").zeros(batch).shape))
    world["reward"][0] = 0
    world["previous_action"][0] = 0
    return {name: np.ascontiguousarray(world[name].astype(types[name])) for name in types}


def _draw(random: np.random.Generator, element: Element, shape: tuple[int, int]) -> NDArray[np.float64]:
    if element.levels is not None:
        return element.low + random.integers(element.levels, size=shape).astype(np.float64)
    return random.uniform(element.low, element.high, shape)


def _actions(random: np.random.Generator, task: TaskSpec, shape: tuple[int, int]) -> NDArray[Any]:
    if isinstance(task.action, ContinuousAction):
        return np.stack([_draw(random, element, shape) for element in task.action.elements], -1)
    return random.integers(task.action.size, size=shape)


def _episode_starts(random: np.random.Generator, ticks: int, batch: int, longest: int) -> NDArray[np.bool_]:
    starts = np.zeros((ticks, batch), np.bool_)
    for row in range(batch):
        tick = 0
        while tick < ticks:
            starts[tick, row] = True
            tick += int(random.integers(1, longest + 1))
    return starts
