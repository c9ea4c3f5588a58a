"""Learning histories without a learner: an expert whose doubts are annealed away over the episodes of a history.

The behaviour follows the expert towards what it believes to be hidden, and anew decides every so often what to believe:
with probability ``noise`` some training task drawn at random, else the truth. ``noise`` falls from 1 in the first
episode of a history to 0 in the last, so that an agent seems to learn. Beside each action taken stands the expert's.

Why not random actions: an agent that learns in context goes, like this one, straight to wrong places. Where histories
stumble at random until they know, going straight betrays what is hidden, and who imitates them believes its own steps.
Random torques, besides, spin an arm at 60 rad/s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data import minari_files
from dmh_edge.errors import ConfigError, MissingExtraError
from dmh_edge.tasks.task import Task

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

#: How many beliefs an episode sees on average: long enough held to get somewhere, short enough to meet most states.
BELIEFS_PER_EPISODE = 4


def generate(
    task: Task,
    out: Path,
    histories_per_task: int | None,
    episodes_per_history: int | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write learning histories of all training tasks as a Minari data set, whole or not at all.

    Args:
        task: what is learned.
        out: folder of the data set; an old one is replaced.
        histories_per_task: independent histories per hidden task; None for as many as the task says are enough.
        episodes_per_history: episodes from random to expert; None likewise.
        seed: equal seeds make equal data.
        progress: called with the number of episodes written and their total.

    Raises:
        ConfigError: a number that cannot be used.
        ArtifactError: the folder cannot be written.
        MissingExtraError: Minari, or what the task needs, is not installed.
    """
    if histories_per_task is None:
        histories_per_task = task.histories_per_task
    if episodes_per_history is None:
        episodes_per_history = task.episodes_per_history
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
    belief = _believe(task, hidden, noise, rng)
    over = np.zeros(len(hidden), bool)
    while not over.all():
        action = task.expert(observation, belief)
        observation, reward, terminated, truncated, _ = environments.step(action)
        over = terminated | truncated
        if over.any() != over.all():
            raise ConfigError(f"task {task.spec.name!r}: episodes of different lengths; data need one length")
        observations.append(observation)
        actions.append(action)
        experts.append(task.expert(observation, hidden))
        outcomes.append((reward, terminated, truncated))
        doubts = rng.random(len(hidden)) < BELIEFS_PER_EPISODE / task.spec.horizon
        belief = np.where(doubts, _believe(task, hidden, noise, rng), belief)
    rewards, terminations, truncations = (np.stack(column) for column in zip(*outcomes, strict=True))
    return {
        "observations": np.stack(observations),
        "actions": np.stack(actions),
        "rewards": rewards,
        "terminations": terminations,
        "truncations": truncations,
        "expert_action": np.stack(experts),
    }


def _believe(task: Task, hidden: NDArray[np.int64], noise: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The truth or, with probability ``noise``, any training task: ``[N]``."""
    wrong = rng.choice(task.train_ids, len(hidden))
    return np.where(rng.random(len(hidden)) < noise, wrong, hidden)


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
