"""Ceilings: the best that imitation of each of a task's teachers can reach, computed without any network.

Who imitates an expert that knows what is hidden learns the average of its actions over all hidden tasks that are still
possible. It cannot do better, because it is never shown how to search. Who imitates a teacher that knows no more than
itself can come to do what the teacher does.

    expert                              knows what is hidden
    imitates expert                     at every step, the average of the expert's actions over what is still possible
    imitates expert, without memory     the same, but it forgets all at the end of each episode
    imitates sweep, imitates posterior  the teacher itself
    random                              any action

The ceiling of posterior holds for data in which the teacher acts, because then its actions show which hidden task it
has drawn. Where the student acts and the teacher only says what it would do, the student cannot know what was drawn,
and learns the average over what is still possible: the ceiling of the expert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dmh_edge.errors import ConfigError
from dmh_edge.evaluate import Curve, Returns, edge_of, roll_out
from dmh_edge.intervals import Interval, intervals
from dmh_edge.names import TeacherName
from dmh_edge.progress import Progress, silent
from dmh_edge.schema import Spec
from dmh_edge.task import DiscreteAction
from dmh_edge.tasks.belief import Belief, candidates, must_sample
from dmh_edge.tasks.family import Task, Teacher, Transition
from dmh_edge.tasks.teachers import Knowing, PosteriorSampling

IMITATION, FORGETFUL = "imitates expert", "imitates expert, without memory"
#: The curves of what imitation of each teacher can reach, the teacher that is easiest to imitate first.
OF_TEACHER: dict[TeacherName, str] = {
    "expert": IMITATION,
    "sweep": "imitates sweep",
    "posterior": "imitates posterior",
}

#: Share of the largest weight below which a candidate does not count in an average of actions.
_NEGLIGIBLE = 1e-6


class Ceiling(Spec):
    """The result of `ceiling`."""

    task: str
    """Name of the task."""
    hidden: list[int]
    """Numbers of the hidden tasks that were played."""
    seeds: list[int]
    """Seeds of environments and draws."""
    candidates: int
    """Number of hidden tasks that were thought possible at first; 0 if the task has no `surprise`."""
    sampled: bool
    """Whether the candidates are a sample, because the task has too many hidden tasks to consider them all."""
    curves: list[Curve] = Field(min_length=1)
    """Returns of expert and random actions, and of what imitation can reach."""
    memory: Interval | None
    """What memory across episodes is worth to an imitator of the expert: the return of the last episodes with it, minus
    that without it; None if the task has no `surprise`."""

    best: TeacherName | None
    """The teacher whose imitation can reach the highest return in the last episodes; among equals, the one that is
    easiest to imitate: expert, then sweep. None if no ceiling is known."""

    def sentences(self) -> list[str]:
        """Say what memory is worth, which teacher is worth training with, and what is missing."""
        edge = edge_of(len(self.curves[0].per_episode))
        when = {1: "in the last episode", 2: "in the last two episodes", 3: "in the last three episodes"}[edge]
        said = []
        if self.memory is not None:
            said.append(
                f"Memory across episodes is worth at most {self.memory} of return {when} "
                "to a policy that imitates the expert."
            )
        if self.best is not None:
            last = {curve.name: str(curve.last) for curve in self.curves}
            reached = last[OF_TEACHER[self.best]]
            equal = [n for n, curve in OF_TEACHER.items() if n != self.best and last.get(curve) == reached]
            said.append(
                f"The teacher to train with is {self.best}: its imitation can reach {reached} {when}. "
                + (
                    f"The same holds for {' and '.join(equal)}."
                    if equal
                    else "No other teacher's known ceiling is as high."
                )
            )
        if self.memory is None:
            said.append(
                "The ceilings of the teachers expert and posterior are missing: the task has no `surprise`, which says "
                "how badly a hidden task explains a step."
            )
        return said


class Imitation:
    """The best imitator of an expert that knows what is hidden: it acts as the average of what is still possible.

    With discrete actions, it samples from the average of the expert's distributions, which the cross-entropy leads to.
    With continuous ones, it takes the mean action, which the squared error leads to.

    Args:
        task: the task.
        candidates: the hidden tasks to consider, ``[K]``.
        students: number N of students.
        rng: the random generator.
        forgetful: whether all candidates become possible again when an episode ends.

    Raises:
        ConfigError: the task has no ``surprise``.
    """

    def __init__(
        self,
        task: Task,
        candidates: NDArray[np.int64],
        students: int,
        rng: np.random.Generator,
        forgetful: bool,
    ) -> None:
        self._expert, self._rng, self._forgetful = task.expert, rng, forgetful
        self._discrete = isinstance(task.spec.action, DiscreteAction)
        self._belief = Belief(task, candidates, students)

    def advise(self, observation: NDArray[np.float32], phase: NDArray[np.int64]) -> NDArray[Any]:
        """Return the average action, or for discrete actions one that is drawn from the average."""
        belief = self._belief
        if self._discrete:  # the action of a candidate that is drawn is drawn from the average
            return self._expert(observation, belief.candidates[belief.draw(self._rng)], phase)
        weights = belief.weights
        rows, columns = np.nonzero(weights > _NEGLIGIBLE * weights.max(axis=1, keepdims=True))
        actions = self._expert(observation[rows], belief.candidates[columns], phase[rows])
        weight = weights[rows, columns]
        summed = np.stack([np.bincount(rows, weight * element) for element in actions.T], axis=-1)
        mean: NDArray[Any] = (summed / np.bincount(rows, weight)[:, None]).astype(actions.dtype)
        return mean

    def observe(self, step: Transition) -> None:
        """Learn from a step."""
        self._belief.observe(step)
        if self._forgetful and step.over.any():
            self._belief.forget(step.over)


def ceiling(
    task: Task, hidden: Sequence[int], episodes: int, seeds: Sequence[int], progress: Progress = silent
) -> Ceiling:
    """Play hidden tasks as the best imitator of each of the task's teachers would.

    Args:
        task: the task.
        hidden: numbers of the hidden tasks to play. These and the held-out ones are candidates as well: a policy that
            was trained on others can still come to know that they are possible.
        episodes: number of episodes on each hidden task, one after the other.
        seeds: seeds of environments and draws; there is one pass over all hidden tasks per seed.
        progress: called before each pass and after the last one, with the episodes done.

    Raises:
        ConfigError: there is nothing to play, or the task's ``surprise`` returns something else than numbers.
    """
    if not hidden or episodes < 1 or not seeds:
        raise ConfigError(
            f"got {len(hidden)} hidden tasks, {episodes} episodes and {len(seeds)} seeds, expected at least one of each"
        )
    ids = np.array(hidden, np.int64)
    environments = task.vector(hidden)

    def passes(name: str, run: Callable[[int], Returns]) -> Curve:
        results = []
        for number, seed in enumerate(seeds):
            progress(name, number * episodes, len(seeds) * episodes)
            results.append(run(seed))
        progress(name, len(seeds) * episodes, len(seeds) * episodes)
        return Curve.of(name, np.stack(results))

    def taught(name: str, make: Callable[[np.random.Generator], Teacher]) -> Curve:
        def run(seed: int) -> Returns:
            teacher = make(np.random.default_rng(seed))
            return roll_out(
                environments,
                lambda observation, _reward, _start, phase: teacher.advise(observation, phase),
                episodes,
                seed,
                teacher.observe,
            )

        return passes(name, run)

    def random(seed: int) -> Returns:
        environments.action_space.seed(seed)
        return roll_out(environments, lambda *_: environments.action_space.sample(), episodes, seed)

    possible = _possible(task, hidden)
    try:
        curves = [taught(name, make) for name, make in _players(task, ids, possible).items()]
        curves.append(passes("random", random))
    finally:
        environments.close()
    found = {curve.name: curve for curve in curves}
    return Ceiling(
        task=task.spec.name,
        hidden=list(hidden),
        seeds=list(seeds),
        candidates=0 if possible is None else len(possible),
        sampled=possible is not None and must_sample(task),
        curves=curves,
        memory=_gain(found[IMITATION], found[FORGETFUL], edge_of(episodes)) if IMITATION in found else None,
        best=_best(found, episodes),
    )


def _possible(task: Task, hidden: Sequence[int]) -> NDArray[np.int64] | None:
    """Return the candidates ``[K]``; None if the task does not say how badly a hidden task explains a step."""
    if task.surprise is None:
        return None
    return candidates(task, np.random.default_rng(0), [*task.train_ids, *task.test_ids, *hidden])


def _players(
    task: Task, hidden: NDArray[np.int64], possible: NDArray[np.int64] | None
) -> dict[str, Callable[[np.random.Generator], Teacher]]:
    """Return what makes the player of each curve, but the random one."""
    count = len(hidden)

    def imitation(forgetful: bool) -> Callable[[np.random.Generator], Teacher]:
        assert possible is not None
        return lambda rng: Imitation(task, possible, count, rng, forgetful)

    def posterior(rng: np.random.Generator) -> Teacher:
        assert possible is not None
        # If the candidates are a sample, the teacher that trains a policy does not have the true hidden task in it.
        guesses = candidates(task, rng) if must_sample(task) else possible
        return PosteriorSampling(task, guesses, count, rng)

    players: dict[str, Callable[[np.random.Generator], Teacher]] = {"expert": lambda _rng: Knowing(task, hidden)}
    if possible is not None:
        players |= {IMITATION: imitation(False), FORGETFUL: imitation(True), OF_TEACHER["posterior"]: posterior}
    if (sweep := task.sweep) is not None:
        players[OF_TEACHER["sweep"]] = lambda _rng: sweep(count)
    return players


def _gain(curve: Curve, other: Curve, episodes: int) -> Interval:
    """Return by how much one curve is above another in the last episodes, compared task by task."""
    difference = (np.array(curve.returns) - np.array(other.returns))[..., -episodes:]
    return intervals(difference.mean(axis=-1, keepdims=True))[0]


def _best(found: dict[str, Curve], episodes: int) -> TeacherName | None:
    """Return the teacher with the highest ceiling; one that is harder to imitate must be better by more than chance."""
    best: TeacherName | None = None
    for name, curve in OF_TEACHER.items():
        if curve in found and (best is None or _gain(found[curve], found[OF_TEACHER[best]], edge_of(episodes)).low > 0):
            best = name
    return best
