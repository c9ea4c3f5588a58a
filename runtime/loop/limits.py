"""When a run ends by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dmh_edge.errors import ConfigError
from dmh_edge.task import TaskSpec


@dataclass(frozen=True)
class Limits:
    """When a run ends by itself; without a limit it goes on until a person or a fault stops it.

    Attributes:
        ticks: number of policy steps after which the run ends.
        episodes: number of finished episodes after which the run ends.
        duration_s: time since the first slot after which the run ends, in seconds.

    Raises:
        ConfigError: one of them is not positive.
    """

    ticks: int | None = None
    episodes: int | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("ticks", "episodes", "duration_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name.removesuffix('_s')}: got {value}, expected a positive number")

    def most_ticks(self, task: TaskSpec, rate_hz: float) -> float:
        """The largest number of ticks that a run can have; infinite when nothing limits it."""
        ticks = math.inf if self.ticks is None else self.ticks
        episodes = math.inf if self.episodes is None else self.episodes * task.horizon
        slots = math.inf if self.duration_s is None else math.ceil(self.duration_s * rate_hz) + 1
        return min(ticks, episodes, slots)
