"""Sides that are timed alternately, so that a busy machine slows all of them alike; only their ratios count."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dmh_edge.export.rollout import random_world
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import Spec


class Times(Spec):
    """Times of one side."""

    name: str
    """Name of the side."""
    seconds: list[float]
    """Seconds per step in each of its turns."""


@dataclass(frozen=True)
class Side:
    """A way to make a step, which is compared with other ways.

    Attributes:
        step: function that makes one step.
        steps: number of steps in a turn.
        turns: number of rounds that the side takes part in, from the first round on.
        threads: number of PyTorch's threads while the side runs.
    """

    step: Callable[[], object]
    steps: int
    turns: int
    threads: int = 1


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise some numbers."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        return f"{figure(self.median)} [{figure(self.low)}, {figure(self.high)}]"


def in_turns(sides: Mapping[str, Side]) -> list[Times]:
    """Time all sides alternately, one turn of each side per round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    before = torch.get_num_threads()
    try:
        for number in range(max(side.turns for side in sides.values())):
            for name, side in sides.items():
                if number < side.turns:
                    torch.set_num_threads(side.threads)
                    began = time.perf_counter()
                    for _ in range(side.steps):
                        side.step()
                    seconds[name].append((time.perf_counter() - began) / side.steps)
    finally:
        torch.set_num_threads(before)
    return [Times(name=name, seconds=taken) for name, taken in seconds.items()]


def figure(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def ratio(one: Times, other: Times) -> Spread:
    """How many times as long one side takes as the other, round by round."""
    return Spread.of([a / b for a, b in zip(one.seconds, other.seconds, strict=False)])


def endless_episode(session: Session) -> Callable[[], object]:
    """A function that makes a step of an endless episode: random inputs, copied in and committed as in a control loop.

    Args:
        session: session of one robot; the first step of the episode is made here.
    """
    contract, count = session.contract, 200
    world = random_world(contract.task, contract.model, count, count, 1)
    ticks = [{name: column[tick] for name, column in world.items()} for tick in range(count)]
    for tick in ticks:
        tick["episode_start"] = np.zeros(1, np.bool_)
    session.step(ticks[0] | {"episode_start": np.ones(1, np.bool_)})
    session.commit()
    turn = itertools.cycle(ticks)

    def step() -> None:
        session.step(next(turn))
        session.commit()

    return step
