"""What a task is: a spec, a family of hidden tasks, environments, an expert, and what else can teach it."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError
from dmh_edge.task import TaskSpec

#: ``(observation [N, S], hidden [N], phase [N]) -> action [N, A] or [N]``
Expert = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True)
class Transition:
    """One step of N environments.

    Attributes:
        observation: ``[N, S]`` float32, before the step.
        phase: ``[N]`` int64: stages of the episode that were done before the step.
        action: actions taken, ``[N, A]`` float32 or ``[N]`` int64.
        reward: ``[N]`` float32: what the step paid.
        next_observation: ``[N, S]`` float32, after the step.
        over: ``[N]`` bool: the step ended the episode.
    """

    observation: NDArray[np.float32]
    phase: NDArray[np.int64]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    next_observation: NDArray[np.float32]
    over: NDArray[np.bool_]


class Teacher(Protocol):
    """Advises N students at once what to do, for as long as their contexts last: from episode to episode."""

    def advise(self, observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
        """Return the action ``[N, A]`` or ``[N]`` for observations ``[N, S]`` in phases ``[N]``."""
        ...

    def observe(self, step: Transition) -> None:
        """Take note of a step that the students made; it need not be the one that was advised."""
        ...


#: ``(transition of N steps, hidden [N]) -> surprise [N]``: minus twice the log-likelihood of what a step showed, if
#: that were the hidden task, up to a constant. It is infinite where the step refutes the hidden task.
Surprise = Callable[[Transition, NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Task:
    """A family of environments that look the same and differ in something hidden, numbered 0, 1, 2, ...

    Attributes:
        spec: specification of the task. Its name is also the id of the environment in gymnasium:
            ``gymnasium.make(spec.name, hidden=number)``.
        train_ids: hidden tasks to learn from.
        test_ids: hidden tasks that no data set holds. In the T-maze they are training tasks too; `tmaze` says why.
        vector: makes environments for some hidden tasks at once, with autoreset disabled:
            ``reset(options={"reset_mask": mask})`` starts new episodes where ``mask`` is true. The same hidden task can
            occur many times. If episodes differ in length, one that is over can be stepped further.
        expert: policy that knows what is hidden and, in a task with stages, the phase: how many stages are done, which
            the observation does not always show.
        histories_per_task: learning histories per hidden task that are enough to learn from.
        episodes_per_history: episodes from random to expert in each history.
        pool: hidden tasks that `draw` draws from, no test task among them; empty for ``train_ids``. A task whose hidden
            parameters are continuous has one that never ends in practice, such as ``range(100, 2**62)``: there the
            number of a hidden task is the seed of its parameters; see `uniform`.
        surprise: how badly a hidden task explains a step. With it there are teachers that know no more than their
            students, and `dmh-edge ceiling` can compute what imitation can reach. None if the task does not say.
        sweep: makes a teacher of N students that searches in a fixed order; None if the task has none.
    """

    spec: TaskSpec
    train_ids: tuple[int, ...]
    test_ids: tuple[int, ...]
    vector: Callable[[Sequence[int]], gymnasium.vector.VectorEnv[Any, Any, Any]]
    expert: Expert
    histories_per_task: int = 4
    episodes_per_history: int = 20
    pool: Sequence[int] = field(default=(), repr=False)
    surprise: Surprise | None = None
    sweep: Callable[[int], Teacher] | None = None

    def draw(self, rng: np.random.Generator, count: int, without: Sequence[int] = ()) -> NDArray[np.int64]:
        """Draw hidden tasks to learn from, ``[count]``. The same one can be drawn more than once.

        Args:
            rng: the random generator.
            count: number of hidden tasks.
            without: hidden tasks that must not be drawn, such as those kept for validation.

        Raises:
            ConfigError: ``without`` leaves no hidden task to draw.
        """
        pool = self.pool or self.train_ids
        if len(pool) <= len(without) and set(pool) <= set(without):
            raise ConfigError(
                f"task {self.spec.name!r}: all {len(pool)} hidden tasks to learn from are excluded; exclude fewer"
            )
        drawn = np.array([pool[index] for index in rng.integers(len(pool), size=count)], np.int64)
        while (refused := np.isin(drawn, without)).any():
            drawn[refused] = self.draw(rng, int(refused.sum()))
        return drawn


class AllBut(Sequence[int]):
    """The numbers from 0 to ``count`` - 1 without some: a pool that takes no memory, however many there are."""

    def __init__(self, count: int, without: Sequence[int]) -> None:
        self._count = count - len(without)
        # What a number of the pool is at least, before it is moved past each of those that are left out.
        self._steps = [number - place for place, number in enumerate(sorted(without))]

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        """Return the number at a place, in ascending order."""
        if isinstance(index, slice):
            return [self[place] for place in range(self._count)[index]]
        place = range(self._count)[index]
        return place + bisect.bisect_right(self._steps, place)


def uniform(hidden: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return ``count`` numbers from 0 to 1 for each hidden task, ``[N, count]``: its hidden parameters, unscaled.

    They are a pure function of the hidden task's number, which is used as a seed. The array is read-only.
    """
    return _uniform_of(np.ascontiguousarray(hidden, np.int64).tobytes(), count)


@functools.lru_cache(maxsize=8)  # the same hidden tasks are asked for at every step
def _uniform_of(numbers: bytes, count: int) -> NDArray[np.float64]:
    hidden = np.frombuffer(numbers, np.int64).tolist()
    drawn = np.array([_uniform(number, count) for number in hidden]).reshape(len(hidden), count)
    drawn.setflags(write=False)
    return drawn


@functools.lru_cache(maxsize=1 << 16)
def _uniform(number: int, count: int) -> NDArray[np.float64]:
    return np.random.default_rng(number).random(count)


#: One more than the largest number that a hidden task can have.
ENDLESS = 2**62


def require_hidden(task: str, hidden: object, count: int) -> None:
    """Refuse a value that is not the number of a hidden task.

    Raises:
        ConfigError: the value is not a whole number, or not one from 0 to ``count`` - 1.
    """
    expected = "0 to 2**62 - 1" if count == ENDLESS else f"0 to {count - 1}"
    if isinstance(hidden, bool) or not isinstance(hidden, int | np.integer):
        raise ConfigError(f"{task}: got hidden = {hidden!r}, expected a whole number, {expected}")
    if not 0 <= hidden < count:
        raise ConfigError(f"{task}: got hidden = {hidden}, expected {expected}")


def phase_of(info: Mapping[str, Any], count: int) -> NDArray[np.int64]:
    """Return the phases ``[N]`` of ``count`` environments from the ``info`` of a reset or step; 0 if it has none."""
    phase: NDArray[np.int64] = info.get("phase", np.zeros(count, np.int64))
    return phase
