"""Runs of a policy on an arm in real time, with delay added between policy and arm; several at a time.

Every run is `operate` on ``mujoco:<id>`` in a process of its own, in real time. Slots that a busy machine misses say
nothing about the policy: a run that misses too many slots is made again, and the result counts those that were missed.
Needs no torch.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dmh_edge.errors import DmhEdgeError, RobotError
from dmh_edge.robots.mujoco import MujocoRobot
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.runtime import operate as operation
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.sessions.engine import session_for
from dmh_edge.runtime.sessions.fake_session import FakePolicy
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import Spec
from dmh_edge.studies.workers import live_and_die_with_the_parent, spawning

Option: TypeAlias = Literal["latency_s", "jitter_s", "actuator_delay_s"]

#: Limit in runs with a patient guard: for the age of an observation, and for the time that an action is held and that
#: the robot gets no command.
_PATIENCE_S = 1.0
_PATIENT = GuardSettings(budget_s=_PATIENCE_S, late_slots=50, late_window=50, frozen_s=None)
#: Largest share of missed slots: a run that misses more is made again.
_MISSES = 0.02
#: Largest number of runs that are made until one is good.
_TRIES = 5


class Added(Spec):
    """What is added between policy and arm."""

    option: Option
    """Name of the robot's option that adds it."""
    seconds: float
    """Amount in seconds; 0 adds nothing."""

    @property
    def milliseconds(self) -> float:
        """Amount in milliseconds."""
        return round(1000 * self.seconds, 6)


class RehearsedRun(Spec):
    """Result of one run."""

    hidden: int
    """Number of the hidden target."""
    returns: tuple[float, ...]
    """Return of each episode, by where the arm was."""
    seen: tuple[float, ...]
    """Return of each episode, by what the policy observed: its rewards are as late as its observations."""
    stopped_by: str
    """What stopped the run: ``episodes`` if every episode came to its end."""
    detail: str
    """What stopped the run, in words."""
    stale: int
    """Observations that were older than the contract allows."""
    slots: int
    """Turns of the loop."""
    held_slots: int
    """Turns without a step of the policy."""
    skipped_slots: int
    """Slots that passed without a turn."""
    tries: int
    """Number of runs that were made for this result."""

    @property
    def is_whole(self) -> bool:
        """Whether every episode came to its end."""
        return self.stopped_by == "episodes"

    @property
    def missed(self) -> float:
        """Skipped slots as a share of all slots."""
        return self.skipped_slots / max(1, self.slots + self.skipped_slots)


@dataclass(frozen=True)
class Rehearsal:
    """A run to be made.

    Attributes:
        policy: policy that is run, already checked.
        environment: id of the arm.
        added: latency, jitter or actuator delay between policy and arm.
        hidden: number of the target; also the seed of all random numbers, so that a target has the same poses and the
            same noise with each amount that is added.
        episodes: number of episodes in a row, without any update.
        as_exported: whether the contract's limits and the guard's defaults are kept; if not, both are patient with
            delays, so that only the policy is judged.
    """

    policy: Policy
    environment: str
    added: Added
    hidden: int
    episodes: int
    as_exported: bool = False


class JudgedArm(MujocoRobot):
    """An arm that sums its rewards by where it really is, whatever its driver observes.

    Attributes:
        returns: return of each episode, so far for the last one; the first reading after each action adds a reward.
    """

    returns: list[float]
    _due: bool

    def connect(self) -> None:
        """Start the physics; no episode has begun."""
        self.returns, self._due = [], False
        super().connect()

    def reset(self) -> None:
        """Start an episode."""
        super().reset()
        self.returns.append(0.0)
        self._due = False

    def read(self) -> Reading:
        """Read what the driver observes; add the reward if this is the first reading after an action."""
        reading = super().read()
        if self._due:
            self.returns[-1] += self.reward_now
            self._due = False
        return reading

    def write(self, action: Action) -> Action:
        """Send a pair of torques."""
        applied = super().write(action)
        self._due = True
        return applied


def rehearse(asked: Rehearsal) -> RehearsedRun:
    """Make a run, again if the machine missed too many slots; call this from the main thread.

    Raises:
        DmhEdgeError: the machine is too busy for a run that comes to its end.
        KeyboardInterrupt: the process got a signal to end.
    """
    best: RehearsedRun | None = None
    for tries in range(1, _TRIES + 1):
        try:
            run = _once(asked, tries)
        except RobotError as error:  # the physics was delayed for too long
            reason = str(error)
            continue
        reason = f"the {run.stopped_by} ended it: {run.detail}"
        if best is None or (run.is_whole, -run.missed) > (best.is_whole, -best.missed):
            best = run
        if run.stale or (run.is_whole and run.missed <= _MISSES):
            return run
    if best is None or not (best.is_whole or asked.as_exported):
        raise DmhEdgeError(
            f"{asked.environment} with {asked.added.option} of {asked.added.seconds:g} s did not finish in {_TRIES} "
            f"runs ({reason}): the machine is too busy for real time; try again when it is idle, or with fewer --jobs"
        )
    return best.model_copy(update={"tries": _TRIES})


@contextmanager
def stage(at_once: int) -> Iterator[Callable[[Sequence[Rehearsal]], list[RehearsedRun]]]:
    """Provide a function that makes runs, ``at_once`` at a time, in processes that stay for all runs."""
    pool = ProcessPoolExecutor(at_once, spawning(), live_and_die_with_the_parent)
    before = set(multiprocessing.active_children())
    try:
        yield lambda asked: list(pool.map(_in_its_process, asked))
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _in_its_process(asked: Rehearsal) -> RehearsedRun:
    try:
        return rehearse(asked)
    except (KeyboardInterrupt, SystemExit):  # SIGTERM, in a run or between two: the pool would start the next run
        os._exit(1)


def _once(asked: Rehearsal, tries: int) -> RehearsedRun:
    policy = asked.policy if asked.as_exported else _patient(asked.policy)
    robot = JudgedArm(
        asked.environment,
        hidden=asked.hidden,
        seed=asked.hidden,
        command_timeout_s=None if asked.as_exported else _PATIENCE_S,
        **{asked.added.option: asked.added.seconds},
    )
    with closing(session_for(policy, "ort-cpu")) as session:
        run = operation.Run(
            limits=Limits(episodes=asked.episodes),
            guard=GuardSettings() if asked.as_exported else _PATIENT,
            noise_seed=asked.hidden,
        )
        summary = operation.operate(FakePolicy(policy.sha256), session, robot, run)
    if summary.stopped_by == "operator":
        raise KeyboardInterrupt
    return RehearsedRun(
        hidden=asked.hidden,
        returns=tuple(robot.returns[: len(summary.returns)]),
        seen=summary.returns,
        stopped_by=summary.stopped_by,
        detail=summary.detail,
        stale=summary.faults.get(Fault.OBSERVATION_STALE.value, 0),
        slots=summary.slots,
        held_slots=summary.held_slots,
        skipped_slots=summary.skipped_slots,
        tries=tries,
    )


def _patient(policy: Policy) -> Policy:
    """Return the same policy with a contract that permits every delay that is added."""
    limits = {"max_hold_s": _PATIENCE_S, "max_observation_age_s": _PATIENCE_S}
    task = policy.contract.task.model_copy(update=limits)
    return Policy(policy.folder, policy.contract.model_copy(update={"task": task}), policy.sha256)
