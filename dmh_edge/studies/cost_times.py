"""Times of a step as the context grows: DM-H and the ways to run its rivals, timed alternately."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.models.build import ModelConfig
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, SequencePolicy
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.schema import Spec
from dmh_edge.studies import ad_steps, engines
from dmh_edge.studies.machine import cores
from dmh_edge.studies.stopwatch import Side, Times, endless_episode, in_turns
from dmh_edge.studies.study import Budget
from dmh_edge.task import TaskSpec

#: Episodes of a context, as in the paper's context of 4,000 steps.
EPISODES = 4
_LENGTHS = {"smoke": (8, 16), "cpu": (200, 1_000, 4_000, 16_000), "full": (200, 1_000, 4_000, 16_000, 64_000)}
_ROUNDS = {"smoke": 2, "cpu": 20, "full": 100}
#: Steps that are re-read in all rounds together. Long contexts get fewer rounds, because re-reading 64,000 tokens takes
#: a minute and re-reading 800 tokens a few milliseconds.
_REREAD = {"smoke": 32, "cpu": 48_000, "full": 320_000}

OURS, MAMBA = "dm-h, exported", "ad-mamba, exported"
REREADING, EXPORTED, IN_PLACE = (
    "ad-transformer, context re-read",
    "ad-transformer, KV cache, exported",
    "ad-transformer, KV cache, in place",
)


class ContextTimes(Spec):
    """Times that were measured with one length of the context."""

    steps: int
    """Length of the context in steps; AD reads four tokens of each step."""
    sides: list[Times]
    """Times of all sides; a side in PyTorch has one entry for each number of threads."""


class ContextCosts(Spec):
    """Times that were measured with all lengths of the context."""

    rows: list[ContextTimes]
    """Times by length."""
    load: float
    """Load of the machine at the start: number of processes that want to run, including this one."""


def measure(budget: Budget, say: Callable[[str], None]) -> ContextCosts:
    """Time all sides at all lengths."""
    rows, load = [], os.getloadavg()[0]
    sizes = _sizes(budget)
    constant = {name: engines.session(Checkpoint.untrained(sizes[name], _task(EPISODES))) for name in (OURS, MAMBA)}
    for steps in _LENGTHS[budget]:
        say(f"timing steps with a context of {steps:,} steps")
        rows.append(ContextTimes(steps=steps, sides=in_turns(_sides(budget, steps, constant, sizes[EXPORTED]))))
    return ContextCosts(rows=rows, load=load)


def _sizes(budget: Budget) -> dict[str, ModelConfig]:
    """The models by the name of a side."""
    if budget == "smoke":
        return {
            OURS: DMHConfig(width=8, memory_layers=1, actor_layers=1, heads=2),
            MAMBA: ADMambaConfig(width=8, layers=1),
            EXPORTED: ADTransformerConfig(width=8, layers=1, heads=2, window_episodes=EPISODES),
        }
    return {OURS: DMHConfig(), MAMBA: ADMambaConfig(), EXPORTED: ADTransformerConfig(window_episodes=EPISODES)}


def _sides(budget: Budget, steps: int, constant: dict[str, OrtSession], transformer: ModelConfig) -> dict[str, Side]:
    """All sides after ``steps`` steps; the sessions in ``constant`` have the same graphs at every length."""
    spec = _task(steps)
    rounds, turn = _ROUNDS[budget], DMHConfig().chunk
    few = max(2, min(rounds, _REREAD[budget] // steps))
    sides = {}
    for name, session in constant.items():
        step = endless_episode(session)
        for _ in range(steps):
            step()
        sides[name] = Side(step, turn, rounds)

    checkpoint = Checkpoint.untrained(transformer, spec)
    session = engines.session(checkpoint)
    _fill(session)
    sides[EXPORTED] = Side(endless_episode(session), _turn(steps), rounds)
    model = checkpoint.build()
    assert isinstance(model, SequencePolicy)
    for threads in sorted({1, cores()}):
        fast = _step_of(ad_steps.standing_in(model, ad_steps.InPlace))
        fast()
        sides[_threaded(IN_PLACE, threads)] = Side(fast, _turn(steps), rounds, threads)
        slow = _step_of(ad_steps.standing_in(model, ad_steps.Rereading))
        sides[_threaded(REREADING, threads)] = Side(slow, 1, few, threads)
    return sides


def _task(steps: int) -> TaskSpec:
    """Darkroom with episodes of such a length that a context has ``steps`` steps."""
    return tasks.find("darkroom").spec.model_copy(update={"horizon": steps // EPISODES})


def _turn(steps: int) -> int:
    """Steps of a turn of AD with a KV cache: enough for the clock, and fewer where each step takes long."""
    return DMHConfig().chunk if steps <= 1_000 else 4


def _fill(session: OrtSession) -> None:
    """Fill the cache with random numbers instead of making the steps."""
    random = np.random.default_rng(0)
    state = session.state()
    state |= {name: random.standard_normal(state[name].shape, np.float32) for name in ("key", "value")}
    state["life"][:] = EPISODES
    session.restore(state)


def _step_of(model: SequencePolicy) -> Callable[[], object]:
    """A function that makes a step of one robot in PyTorch, up to its action."""
    world = {tensor.name: torch.from_numpy(tensor.zeros(1)) for tensor in model.model_spec().world}

    @torch.inference_mode()
    def step() -> object:
        return model.step("policy", world)["action"].item()

    return step


def _threaded(name: str, threads: int) -> str:
    return f"{name}, {threads} threads"
