"""Learning histories without a learner: an expert whose wrong beliefs become rarer over the episodes of a history.

The behaviour acts as the expert would for the hidden task that it believes in. From time to time it chooses its belief
again: with probability ``noise`` a random training task, else the true one. ``noise`` falls from 1 in the first episode
of a history to 0 in the last, so that the behaviour looks like an agent that learns. The data hold each action taken,
and beside it the true expert's action.

Why the noise is not in the actions: an agent that learns in context goes straight to wrong places, as this behaviour
does. In histories with random actions, only a behaviour that knows the hidden task goes straight. A policy that
imitates them takes its own straight steps as a sign that it knows. Also, random torques spin an arm at 60 rad/s.

The effect of a wrong belief depends on the task: the walker goes to another cell, mistakes one action for another or
turns into the wrong arm of a maze, or a robot arm sags. No belief is wrong about the episode's stages that are done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data import minari_files
from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import ConfigError, MissingExtraError
from dmh_edge.progress import Progress, silent
from dmh_edge.task import DiscreteAction
from dmh_edge.tasks.family import Task, phase_of

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

#: Beliefs per episode on average: each is held long enough to get somewhere, and short enough to visit most states.
BELIEFS_PER_EPISODE = 4


def generate(
    task: Task,
    out: Path,
    histories_per_task: int | None,
    episodes_per_history: int | None,
    seed: int,
    progress: Progress = silent,
) -> None:
    """Write learning histories of all training tasks as a Minari data set, whole or not at all.

    Args:
        task: the task.
        out: folder of the data set; an old one is replaced.
        histories_per_task: independent histories per hidden task; None for the task's own number.
        episodes_per_history: episodes from random to expert; None for the task's own number.
        seed: seed of every random generator; equal seeds make equal data.
        progress: called with the number of episodes written and the number in all.

    Raises:
        ConfigError: a number is below 1.
        ArtifactError: the folder cannot be written.
        MissingExtraError: Minari, or what the task needs, is not installed.
    """
    plan = _Plan.of(task, histories_per_task, episodes_per_history, seed)
    with contextlib.closing(task.vector(plan.hidden.tolist())) as environments:

        def parts() -> Iterator[list[EpisodeBuffer]]:
            for number, columns in enumerate(_histories(task, environments, plan)):
                yield _buffers(columns, plan, number)
                progress("episodes", (number + 1) * len(plan.hidden), plan.episodes * len(plan.hidden))

        generation = {"seed": seed, "histories_per_task": plan.histories, "episodes_per_history": plan.episodes}
        algorithm = "scripted expert, noise annealed over each history"
        minari_files.write(out, task.spec, parts(), algorithm=algorithm, generation=generation)


def generated(
    task: Task, histories_per_task: int | None = None, episodes_per_history: int | None = None, seed: int = 0
) -> Episodes:
    """Make in memory the episodes that `generate` writes; its arguments are described there.

    Raises:
        ConfigError: a number is below 1.
        MissingExtraError: what the task needs is not installed.
    """
    plan = _Plan.of(task, histories_per_task, episodes_per_history, seed)
    with contextlib.closing(task.vector(plan.hidden.tolist())) as environments:
        columns = list(_histories(task, environments, plan))
    action_type = np.int64 if isinstance(task.spec.action, DiscreteAction) else np.float32

    def flat(name: str, dtype: type[Any], final: int = 0) -> NDArray[Any]:
        """Return the steps of all episodes, and ``final`` more rows of each episode."""
        parts = []
        for column in columns:
            values, length = column[name], column["length"]
            parts.append(values[np.arange(values.shape[1]) < length[:, None] + final].astype(dtype))
        return np.concatenate(parts)

    return Episodes(
        spec=task.spec,
        observation=flat("observations", np.float32, final=1),
        action=flat("actions", action_type),
        expert_action=flat("expert_action", action_type),  # without the final observation's, which belongs to no step
        reward=flat("rewards", np.float32),
        terminated=np.concatenate(
            [column["terminations"][np.arange(len(plan.hidden)), column["length"] - 1] for column in columns]
        ),
        hidden=np.tile(plan.hidden, plan.episodes),
        history=np.tile(plan.history, plan.episodes),
        number=np.repeat(np.arange(plan.episodes), len(plan.hidden)),
        length=np.concatenate([column["length"] for column in columns]),
    )


@dataclass(frozen=True)
class _Plan:
    """Which episodes to make: one row per history; all rows play one episode at the same time, then the next one.

    Attributes:
        hidden: ``[N]``: the hidden task of each row.
        history: ``[N]``: number of the history among those of the same hidden task.
        histories: histories per hidden task.
        episodes: episodes per history.
        seed: seed of every random generator.
    """

    hidden: NDArray[np.int64]
    history: NDArray[np.int64]
    histories: int
    episodes: int
    seed: int

    @classmethod
    def of(cls, task: Task, histories: int | None, episodes: int | None, seed: int) -> _Plan:
        """Use the task's own numbers for those that are None, and refuse numbers below 1."""
        histories = task.histories_per_task if histories is None else histories
        episodes = task.episodes_per_history if episodes is None else episodes
        for name, value in (("histories_per_task", histories), ("episodes_per_history", episodes)):
            if value < 1:
                raise ConfigError(f"{name}: got {value}, expected at least 1")
        hidden = np.tile(np.array(task.train_ids, np.int64), histories)
        return cls(hidden, np.repeat(np.arange(histories), len(task.train_ids)), histories, episodes, seed)


def _histories(task: Task, environments: Any, plan: _Plan) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the first episode of every history, then the second of every history, and so on."""
    rng = np.random.default_rng(plan.seed)
    for number, noise in enumerate(np.linspace(1, 0, plan.episodes)):
        yield _roll_out(task, environments, plan.hidden, noise, rng, plan.seed if number == 0 else None)


def _roll_out(
    task: Task, environments: Any, hidden: NDArray[np.int64], noise: float, rng: np.random.Generator, seed: int | None
) -> dict[str, NDArray[Any]]:
    """Play one episode in every environment.

    Returns:
        Minari's columns with one row per environment, ``[N, T or T+1, ...]``, and ``length`` ``[N]``: how many steps of
        each row belong to the episode.
    """
    count, horizon = len(hidden), task.spec.horizon
    observation, info = environments.reset(seed=seed)
    phase = phase_of(info, count)
    advice = task.expert(observation, hidden, phase)
    columns = {
        "observations": np.empty((count, horizon + 1, *observation.shape[1:]), observation.dtype),
        "actions": np.empty((count, horizon, *advice.shape[1:]), advice.dtype),
        "rewards": np.empty((count, horizon)),
        "terminations": np.empty((count, horizon), bool),
        "truncations": np.empty((count, horizon), bool),
        "expert_action": np.empty((count, horizon + 1, *advice.shape[1:]), advice.dtype),
    }
    columns["observations"][:, 0], columns["expert_action"][:, 0] = observation, advice
    training = np.array(task.train_ids, np.int64)
    belief = _believe(training, hidden, noise, rng)
    length, over = np.zeros(count, np.int64), np.zeros(count, bool)
    steps = 0
    while not over.all():
        action = task.expert(observation, belief, phase)
        observation, reward, terminated, truncated, info = environments.step(action)
        phase = phase_of(info, count)
        length += ~over
        over |= terminated | truncated
        columns["actions"][:, steps], columns["rewards"][:, steps] = action, reward
        columns["terminations"][:, steps], columns["truncations"][:, steps] = terminated, truncated
        steps += 1
        columns["observations"][:, steps] = observation
        columns["expert_action"][:, steps] = task.expert(observation, hidden, phase)
        doubts = rng.random(count) < BELIEFS_PER_EPISODE / horizon
        belief = np.where(doubts, _believe(training, hidden, noise, rng), belief)
    return columns | {"length": length}


def _believe(
    training: NDArray[np.int64], hidden: NDArray[np.int64], noise: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the believed hidden tasks ``[N]``: the true one or, with probability ``noise``, any training task."""
    wrong = rng.choice(training, len(hidden))
    return np.where(rng.random(len(hidden)) < noise, wrong, hidden)


def _buffers(columns: dict[str, NDArray[Any]], plan: _Plan, number: int) -> list[EpisodeBuffer]:
    try:
        from minari.data_collector import EpisodeBuffer
    except ModuleNotFoundError as error:
        raise MissingExtraError("minari", "train", "writing a data set") from error
    buffers = []
    for row in range(len(plan.hidden)):
        length = int(columns["length"][row])
        own: dict[str, Any] = {
            name: columns[name][row, :length] for name in ("actions", "rewards", "terminations", "truncations")
        }
        own["observations"] = columns["observations"][row, : length + 1]
        infos = {"expert_action": columns["expert_action"][row, : length + 1]}
        options = {"hidden": int(plan.hidden[row]), "history": int(plan.history[row]), "number": number}
        buffers.append(EpisodeBuffer(options=options, infos=infos, **own))
    return buffers
