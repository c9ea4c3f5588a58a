"""Learning histories without a learner: an expert whose noise is annealed away over the episodes of a history.

The first episode of a history is random, the last one is the expert's; in between an agent seems to learn. Beside each
action taken stands the one that the expert would have taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import DiscreteAction
from dmh_edge.data import minari_files
from dmh_edge.errors import ConfigError, MissingExtraError
from dmh_edge.tasks.task import Task

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

#: Mean number of steps for which a row stays random or the expert's. One random action per step is a walk that stays
#: near where it began; held ones reach the corners, as does an agent that follows a wrong belief.
MEAN_HOLD = 4


def generate(
    task: Task,
    out: Path,
    histories_per_task: int,
    episodes_per_history: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write learning histories of all training tasks as a Minari data set, whole or not at all.

    Args:
        task: what is learned.
        out: folder of the data set; an old one is replaced.
        histories_per_task: independent histories per hidden task.
        episodes_per_history: episodes from random to expert.
        seed: equal seeds make equal data.
        progress: called with the number of episodes written and their total.

    Raises:
        ConfigError: a number that cannot be used.
        ArtifactError: the folder cannot be written.
        MissingExtraError: Minari, or what the task needs, is not installed.
    """
    settings = {"histories_per_task": histories_per_task, "episodes_per_history": episodes_per_history}
    for name, value in settings.items():
        if value < 1:
            raise ConfigError(f"{name}: got {value}, expected at least 1")
    hidden = np.tile(np.array(task.train_ids, np.int64), histories_per_task)
    histories = np.repeat(np.arange(histories_per_task), len(task.train_ids))
    environments = task.vector(hidden.tolist())
    spaces = environments.single_observation_space, environments.single_action_space
    total = len(hidden) * episodes_per_history

    def parts() -> Iterator[list[EpisodeBuffer]]:
        rng = np.random.default_rng(seed)
        noises = np.linspace(1, 0, episodes_per_history)
        for number, noise in enumerate(noises):
            columns = _roll_out(task, environments, hidden, noise, rng, seed if number == 0 else None)
            yield _buffers(columns, hidden, histories, number)
            progress((number + 1) * len(hidden), total)

    try:
        minari_files.write(out, task.spec, spaces, {"seed": seed, **settings}, parts())
    finally:
        environments.close()


def _roll_out(
    task: Task, environments: Any, hidden: NDArray[np.int64], noise: float, rng: np.random.Generator, seed: int | None
) -> dict[str, NDArray[Any]]:
    """One episode in every environment, as Minari's columns with time first: ``[T or T+1, N, ...]``."""
    observation, _ = environments.reset(seed=seed)
    observations, actions, experts, outcomes = [observation], [], [task.expert(observation, hidden)], []
    held, is_random = _random_actions(task, len(hidden), rng), rng.random(len(hidden)) < noise
    over = np.zeros(len(hidden), bool)
    while not over.all():
        action = np.where(is_random.reshape(-1, *[1] * (held.ndim - 1)), held, experts[-1])
        observation, reward, terminated, truncated, _ = environments.step(action)
        over = terminated | truncated
        if over.any() != over.all():
            raise ConfigError(f"task {task.spec.name!r}: episodes of different lengths; data need one length")
        observations.append(observation)
        actions.append(action)
        experts.append(task.expert(observation, hidden))
        outcomes.append((reward, terminated, truncated))
        renew = rng.random(len(hidden)) < 1 / MEAN_HOLD
        held[renew] = _random_actions(task, len(hidden), rng)[renew]
        is_random = np.where(renew, rng.random(len(hidden)) < noise, is_random)
    rewards, terminations, truncations = (np.stack(column) for column in zip(*outcomes, strict=True))
    return {
        "observations": np.stack(observations),
        "actions": np.stack(actions),
        "rewards": rewards,
        "terminations": terminations,
        "truncations": truncations,
        "expert_action": np.stack(experts),
    }


def _random_actions(task: Task, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Uniform actions ``[count]`` or ``[count, A]``."""
    action = task.spec.action
    if isinstance(action, DiscreteAction):
        return rng.integers(action.size, size=count)
    low, high = (np.array([getattr(element, side) for element in action.elements]) for side in ("low", "high"))
    return rng.uniform(low, high, (count, action.size)).astype(np.float32)


def _buffers(
    columns: dict[str, NDArray[Any]], hidden: NDArray[np.int64], histories: NDArray[np.int64], number: int
) -> list[EpisodeBuffer]:
    try:
        from minari.data_collector import EpisodeBuffer
    except ModuleNotFoundError as error:
        raise MissingExtraError("minari", "train", "writing a data set") from error
    buffers = []
    for row in range(len(hidden)):
        own: dict[str, Any] = {name: column[:, row] for name, column in columns.items()}
        infos = {"expert_action": own.pop("expert_action")}
        options = {"hidden": int(hidden[row]), "history": int(histories[row]), "number": number}
        buffers.append(EpisodeBuffer(options=options, infos=infos, **own))
    return buffers
