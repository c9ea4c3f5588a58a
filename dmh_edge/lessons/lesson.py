"""What both kinds of lessons have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from dmh_edge.config import DataConfig
from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import ConfigError
from dmh_edge.learner import Learner
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.task import DiscreteAction, TaskSpec

#: ``update -> contexts``: a pure function, so that contexts can be drawn ahead of time.
Draw = Callable[[int], LabelledChunks[NDArray[Any]]]


@dataclass(frozen=True)
class Stage:
    """Consecutive updates whose contexts can be drawn ahead of time.

    Attributes:
        end: number of updates after the stage.
        draw: returns the contexts of an update.
        returns: mean return of each episode of the contexts that were played for this stage; empty if none were.
    """

    end: int
    draw: Draw
    returns: tuple[float, ...] = ()


class Lessons(Protocol):
    """What a policy learns from."""

    @property
    def first(self) -> Episodes:
        """Episodes that show what observations are like, and name the task."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of what decides all lessons; a resumed run must have the same."""
        ...

    @property
    def held_out(self) -> tuple[int, ...]:
        """Hidden tasks that are not learned from."""
        ...

    @property
    def kept(self) -> Mapping[int, str]:
        """SHA-256 digests of the rounds that must be kept beside a checkpoint, by number."""
        ...

    @property
    def progress(self) -> Callable[[int], float] | None:
        """Share of the training that is done before an update; None if all updates are equally large."""
        ...

    @property
    def remark(self) -> str:
        """What a user should know before training, else an empty text."""
        ...

    def stage(self, learner: Learner) -> Stage:
        """Return the stage that the learner's next update belongs to."""
        ...

    def restore(self, kept: Mapping[int, str]) -> None:
        """Go on from a checkpoint that was saved when `kept` had this value."""
        ...

    def tidy(self) -> None:
        """Remove files that the newest checkpoint does not need."""
        ...


def refuse_balance(data: DataConfig, spec: TaskSpec) -> None:
    """Refuse ``data.balance_actions`` for a task with continuous actions.

    Raises:
        ConfigError: it is set, and the actions are continuous.
    """
    if data.balance_actions and not isinstance(spec.action, DiscreteAction):
        raise ConfigError(
            f"data.balance_actions is for discrete actions, but the actions of {spec.name!r} are continuous; "
            "leave it false"
        )
