"""Evaluation: does a policy improve from episode to episode on tasks it has never seen?

Many hidden tasks run in one batch, several episodes each, without any update of the weights. A random policy and the
expert run on the same tasks for comparison. So does the same policy with its memory emptied after each episode: what it
cannot do then, it had learned in context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dmh_edge.intervals import Interval, intervals
from dmh_edge.progress import Progress, silent
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.schema import Spec
from dmh_edge.tasks.family import Task, Transition, phase_of

Returns = NDArray[np.float64]  # [seeds, tasks, episodes]
#: Chooses actions [N, A] or [N] from observations [N, S], last rewards [N], which rows start an episode [N], and phases
#: [N]; a policy must not use the phases.
Chooser = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]], NDArray[Any]]

#: Advises actions [N, A] or [N] for observations [N, S] in phases [N].
Advice = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True)
class Arena:
    """Where a policy is tried: N environments that differ in something hidden.

    Attributes:
        name: name of the task.
        hidden: numbers of the hidden tasks; empty for ``settings``.
        settings: what is set in each environment, in words; empty for ``hidden``.
        environments: the environments, with autoreset disabled.
        expert: ``(observation [N, S], phase [N]) -> action``: knows what is hidden; None if there is no expert.
    """

    name: str
    hidden: tuple[int, ...]
    settings: tuple[str, ...]
    environments: gymnasium.vector.VectorEnv[Any, Any, Any]
    expert: Advice | None

    @classmethod
    def of(cls, task: Task, hidden: Sequence[int]) -> Arena:
        """Return the environments of some hidden tasks."""
        ids = np.array(hidden, np.int64)

        def expert(observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
            return task.expert(observation, ids, phase)

        return cls(task.spec.name, tuple(map(int, hidden)), (), task.vector(hidden), expert)


#: Name of the curve of the policy whose memory is emptied after each episode.
FORGETFUL = "memory zeroed at each episode"

_EDGE = 3  # most episodes in "first" and in "last"; fewer if they would overlap


def edge_of(episodes: int) -> int:
    """Return how many of ``episodes`` episodes count as the first ones, and how many as the last ones."""
    return max(1, min(_EDGE, episodes // 2))


class Curve(Spec):
    """The returns of one agent."""

    name: str
    """Name of the agent."""
    returns: list[list[list[float]]]
    """Return by seed, task and episode."""
    per_episode: list[Interval]
    """Mean return of each episode."""
    first: Interval
    """Mean return of the first three episodes, or of fewer; see `edge_of`."""
    last: Interval
    """Mean return of the same number of episodes at the end."""
    improvement: Interval
    """``last`` minus ``first``."""

    @classmethod
    def of(cls, name: str, returns: Returns) -> Curve:
        """Summarise returns ``[seeds, tasks, episodes]``."""
        edge = edge_of(returns.shape[-1])
        first, last = returns[..., :edge].mean(-1), returns[..., -edge:].mean(-1)
        columns = [*np.moveaxis(returns, -1, 0), first, last, last - first]
        *per_episode, first_, last_, improvement = intervals(np.stack(columns, -1))
        return cls(
            name=name,
            returns=returns.tolist(),
            per_episode=per_episode,
            first=first_,
            last=last_,
            improvement=improvement,
        )


class Evaluation(Spec):
    """The result of `evaluate`."""

    task: str
    """Name of the task."""
    policy: str
    """Name of the policy."""
    backend: str
    """Backend that computed the policy."""
    hidden: list[int]
    """Numbers of the hidden tasks; empty for ``settings``."""
    settings: list[str] = Field(default_factory=list)
    """What was set in each environment of a robot, in words."""
    seeds: list[int]
    """Seeds of noise and environments."""
    curves: list[Curve] = Field(min_length=1)
    """The policy and, unless it ran alone: the same without memory across episodes, an expert if there is one, and a
    random policy."""
    verdict: list[str] = Field(default_factory=list)
    """What the curves show, in words."""


def evaluate(
    open_session: Callable[[int], Session],
    arena: Arena,
    episodes: int,
    seeds: Sequence[int],
    deterministic: bool = False,
    progress: Progress = silent,
    alone: bool = False,
) -> Evaluation:
    """Run a policy and its rivals on hidden tasks.

    Args:
        open_session: opens the policy for a given number of robots.
        arena: where it is tried; its environments are closed at the end.
        episodes: number of episodes on each hidden task, one after the other.
        seeds: seeds of noise and environments; there is one pass over all hidden tasks per seed.
        deterministic: whether the policy acts without noise.
        progress: called before each pass and after the last one, with the episodes done.
        alone: whether to leave out the rivals.
    """
    environments = arena.environments

    def passes(name: str, run: Callable[[int], Returns]) -> Curve:
        results = []
        for number, seed in enumerate(seeds):
            progress(name, number * episodes, len(seeds) * episodes)
            results.append(run(seed))
        progress(name, len(seeds) * episodes, len(seeds) * episodes)
        return Curve.of(name, np.stack(results))

    def policy(session: Session, forgetful: bool) -> Callable[[int], Returns]:
        def run(seed: int) -> Returns:
            agent = Agent(session, None if deterministic else seed)
            agent.forget()

            def choose(
                observation: NDArray[np.float32],
                reward: NDArray[np.float32],
                start: NDArray[np.bool_],
                _phase: NDArray[np.int64],
            ) -> NDArray[Any]:
                if forgetful and start.any():
                    agent.forget(start)
                    reward = np.where(start, np.float32(0), reward)
                action: NDArray[Any] = agent.propose(observation, reward, start)["action"].copy()
                agent.commit(action)
                return action

            return roll_out(environments, choose, episodes, seed)

        return run

    def expert(advise: Advice) -> Callable[[int], Returns]:
        return lambda seed: roll_out(
            environments, lambda observation, _reward, _start, phase: advise(observation, phase), episodes, seed
        )

    def random(seed: int) -> Returns:
        environments.action_space.seed(seed)
        return roll_out(environments, lambda *_: environments.action_space.sample(), episodes, seed)

    with (
        contextlib.closing(environments),
        contextlib.closing(open_session(environments.num_envs)) as session,
    ):
        curves = [passes(session.contract.model.kind, policy(session, forgetful=False))]
        if not alone:
            curves.append(passes(FORGETFUL, policy(session, forgetful=True)))
            curves += [] if arena.expert is None else [passes("expert", expert(arena.expert))]
            curves.append(passes("random", random))
        return Evaluation(
            task=arena.name,
            policy=session.contract.name,
            backend=session.backend,
            hidden=list(arena.hidden),
            settings=list(arena.settings),
            seeds=list(seeds),
            curves=curves,
        )


def roll_out(
    environments: gymnasium.vector.VectorEnv[Any, Any, Any],
    choose: Chooser,
    episodes: int,
    seed: int,
    observe: Callable[[Transition], None] | None = None,
) -> Returns:
    """Play episodes, and return the return of each, ``[N, episodes]``.

    Episodes can end at different steps. An environment that has played all its episodes goes on until all have; what it
    plays then does not count.

    Args:
        environments: N environments, with autoreset disabled.
        choose: the agent.
        episodes: number of episodes of each environment that count.
        seed: seed of the environments.
        observe: called after every step, with what it showed.
    """
    count = environments.num_envs
    returns, finished = np.zeros((count, episodes)), np.zeros(count, np.int64)
    rows = np.arange(count)
    observation, info = environments.reset(seed=seed)
    reward, start = np.zeros(count, np.float32), np.ones(count, np.bool_)
    while (finished < episodes).any():
        before, phase = observation.copy(), phase_of(info, count)
        action = choose(observation, reward, start, phase)
        observation, reward, terminated, truncated, info = environments.step(action)
        reward = reward.astype(np.float32)
        counting = finished < episodes
        returns[rows[counting], finished[counting]] += reward[counting]
        start = terminated | truncated
        if observe is not None:
            observe(Transition(before, phase, action, reward, observation.copy(), start))
        finished += start
        if start.any():
            observation, info = environments.reset(options={"reset_mask": start})
    return returns
