"""The sensors of a simulated arm, with the noise and delays that can be added between the arm and its driver."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dmh_edge.clock import NS_PER_S
from dmh_edge.errors import ConfigError, RobotError
from dmh_edge.robots.mujoco_link import STEP_NS, Link, PhysicsWord
from dmh_edge.robots.protocol import Reading
from dmh_edge.task import Element, bounds_of

#: Longest latency and longest jitter: together they do not exceed the time for which samples are kept.
_LONGEST_LATENCY_S = 0.9


@dataclass(frozen=True)
class Between:
    """Noise and delays between an arm and its driver.

    Attributes:
        noise: standard deviation of each observed element, as a share of its range; at most 1.
        latency_s: age of an observation in seconds; at most 0.9.
        jitter_s: largest extra age of an observation in seconds, drawn uniformly from 0 on; at most 0.9.
        dropout: probability that no new reading arrives: the previous one comes again, with its old stamp; at most 1.
        actuator_delay_s: time in seconds from writing an action until it acts; at most 0.9.
    """

    noise: float = 0.0
    latency_s: float = 0.0
    jitter_s: float = 0.0
    dropout: float = 0.0
    actuator_delay_s: float = 0.0

    def require(self, robot: str) -> None:
        """Refuse values that cannot be used.

        Raises:
            ConfigError: a value is not a number, or is out of its range.
        """
        for field in fields(self):
            most = _LONGEST_LATENCY_S if field.name.endswith("_s") else 1.0
            value = getattr(self, field.name)
            if not is_number(value) or not 0 <= value <= most:
                raise ConfigError(f"{robot}: got {field.name} = {value!r}, expected a number from 0 to {most:g}")


def is_number(value: Any) -> bool:
    """Whether an option's value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Sensors:
    """Makes readings from the samples of the physics.

    Args:
        robot: name of the robot in messages.
        elements: elements of the observation.
        between: noise and delays to add.
        seed: seed of noise, jitter and drop-out.
    """

    def __init__(self, robot: str, elements: tuple[Element, ...], between: Between, seed: int) -> None:
        self._robot, self._between = robot, between
        self._latency_ns, self._jitter_ns = (round(s * NS_PER_S) for s in (between.latency_s, between.jitter_s))
        self._low, self._high = bounds_of(elements)
        self._random = np.random.default_rng(seed)
        self._shown = -1  # number of the sample that the last reading was made of
        self._last: Reading | None = None

    def connect(self) -> None:
        """Forget the samples of an earlier physics process."""
        self._shown, self._last = -1, None

    def reset(self) -> None:
        """Begin an episode: its first reading never drops out."""
        self._last = None

    def read(self, link: Link, *, rewarded: bool) -> Reading:
        """Make the reading of the sensors now.

        Args:
            link: link to the physics.
            rewarded: whether an action was written in this episode; a reading before that has reward 0.

        Raises:
            RobotError: no sample can be read.
        """
        dropout = self._between.dropout
        if self._last is not None and dropout and self._random.random() < dropout:
            return _copy(self._last)
        late_ns = self._latency_ns + (int(self._random.uniform(0, self._jitter_ns)) if self._jitter_ns else 0)
        number = max(_newest(link, late_ns), self._shown, 0)
        sample = link.samples.read(number)
        if sample is None:  # overwritten meanwhile: this process has not run for two seconds
            number = link.samples.count - 1
            sample = link.samples.read(number)
        if sample is None:
            raise RobotError(f"{self._robot}: no sample of the physics can be read")
        stamp_ns, _, reward, *elements = sample
        observation = np.array(elements)
        if self._between.noise:
            spread = self._between.noise * (self._high - self._low)
            observation = observation + self._random.standard_normal(len(observation)) * spread
        observation = np.clip(observation, self._low, self._high).astype(np.float32)
        self._shown = number
        self._last = Reading(int(stamp_ns), observation, float(reward) if rewarded else 0.0)
        return _copy(self._last)

    def show(self, link: Link, episode: int) -> bool:
        """Whether even the oldest sample that `read` can return belongs to this episode."""
        sample = link.samples.read(max(0, _newest(link, self._latency_ns + self._jitter_ns)))
        if sample is None:
            return False
        _, shown, *_ = sample
        return shown == episode


def _newest(link: Link, late_ns: int) -> int:
    """The number of the newest sample that is at least ``late_ns`` nanoseconds old."""
    newest = link.samples.count - 1
    if not late_ns:
        return newest
    return min(newest, (time.monotonic_ns() - late_ns - link.words[PhysicsWord.STARTED]) // STEP_NS)


def _copy(reading: Reading) -> Reading:
    return Reading(reading.stamp_ns, reading.observation.copy(), reading.reward)
