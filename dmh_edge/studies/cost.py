"""What does a step cost as the context grows, and how many times as much as with DM-H does it cost with AD?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.models.build import ModelConfig
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, SequencePolicy
from dmh_edge.plots import Line, Panel
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.schema import Spec
from dmh_edge.studies import ad_steps, engines, paper
from dmh_edge.studies.machine import cores
from dmh_edge.studies.stopwatch import Side, Spread, Times, endless_episode, in_turns, ratio
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table
from dmh_edge.task import TaskSpec

_EPISODES = 4  # of a context, as the paper has it where its context is 4,000 steps
_LENGTHS = {"smoke": (8, 16), "cpu": (200, 1_000, 4_000, 16_000), "full": (200, 1_000, 4_000, 16_000, 64_000)}
_ROUNDS = {"smoke": 2, "cpu": 20, "full": 100}
#: Steps that are re-read in all rounds together: 64,000 tokens take a minute, 800 a few milliseconds.
_REREAD = {"smoke": 32, "cpu": 48_000, "full": 320_000}

_OURS, _MAMBA = "dm-h, exported", "ad-mamba, exported"
_REREADING, _EXPORTED, _IN_PLACE = (
    "ad-transformer, context re-read",
    "ad-transformer, KV cache, exported",
    "ad-transformer, KV cache, in place",
)
_RIVAL = (_REREADING, _EXPORTED, _IN_PLACE)

_ASKED = (
    f"Time per environment step by length of the context, at the paper's sizes: width {DMHConfig().width}; for DM-H "
    f"{DMHConfig().memory_layers} Mamba and {DMHConfig().actor_layers} transformer layers with "
    f"c = {DMHConfig().chunk}; for either AD {ADTransformerConfig().layers} layers. Weights are those that training "
    "would start from, since time does not depend on them; nor does it on the observations, cells of Darkroom. A "
    f"context is {_EPISODES} episodes, of which AD reads four tokens per step; DM-H and AD with Mamba have read as "
    "many steps before they are timed."
)
_ABOUT_TIMES = (
    "Medians over rounds in which all sides take turns in one process, with quartiles. A turn of DM-H is a chunk of "
    f"{DMHConfig().chunk} steps, on one of which its memory is due. What is exported runs in ONNX Runtime on one "
    "thread, inputs copied in and states committed as in the control loop. The other two run in PyTorch, on one thread "
    "or on all cores, whichever is the faster; where re-reading takes seconds it has fewer rounds, as the CSV shows. "
    "*Context re-read* is how the paper ran AD: the whole context through the transformer for one action, though here "
    "the last layer is spared all but that action. *KV cache, in place* is PyTorch at its best: a ring allocated once "
    "and written in place, read by fused attention."
)
_ABOUT_THE_PAPER = (
    f"The paper: {paper.TEST_MINUTES['ad-transformer']:g} minutes with AD (transformer), "
    f"{paper.TEST_MINUTES['ad-mamba']:g} with AD (Mamba) and {paper.TEST_MINUTES['dm-h']:g} with DM-H for ten episodes "
    f"of HalfCheetah at a context of {paper.TEST_CONTEXT:,} steps, on a GPU, environment included: {paper.TEST_RATIO} "
    "times as long with a transformer as with DM-H. An episode being of 1,000 steps, that is "
    f"{6 * paper.TEST_MINUTES['ad-transformer']:,.0f} and {6 * paper.TEST_MINUTES['dm-h']:.0f} ms per step: a "
    "GPU reads a whole context at once, and what is around the model counts as well, so that the ratio is smaller."
)


class AtLength(Spec):
    """What was measured with one length of the context."""

    steps: int
    """Of the context; AD reads four tokens of each."""
    sides: list[Times]
    """All sides; PyTorch's with each number of threads."""


class Costs(Spec):
    """What was measured."""

    rows: list[AtLength]
    """By length."""
    load: float
    """Processes that wanted to run when it began, this one among them."""


def measure(budget: Budget, say: Callable[[str], None]) -> Costs:
    """Time all sides at all lengths."""
    rows, load = [], os.getloadavg()[0]
    sizes = _sizes(budget)
    constant = {name: engines.session(Checkpoint.untrained(sizes[name], _task(_EPISODES))) for name in (_OURS, _MAMBA)}
    for steps in _LENGTHS[budget]:
        say(f"timing steps with a context of {steps:,} steps")
        rows.append(AtLength(steps=steps, sides=in_turns(_sides(budget, steps, constant, sizes[_EXPORTED]))))
    return Costs(rows=rows, load=load)


def run(budget: Budget, workshop: Workshop) -> Page:
    """Measure, if need be, and set DM-H beside the ways to run its rivals."""
    costs = workshop.kept(f"cost-{budget}", Costs, lambda: measure(budget, workshop.say))
    best = [{name: _best(row, name) for name in (_OURS, _MAMBA, *_RIVAL)} for row in costs.rows]

    def times() -> Iterator[tuple[str, ...]]:
        for row, sides in zip(costs.rows, best, strict=True):
            yield f"{row.steps:,}", *(str(_milliseconds(times)) for times in sides.values())

    def ratios() -> Iterator[tuple[str, ...]]:
        for row, sides in zip(costs.rows, best, strict=True):
            yield f"{row.steps:,}", *(str(ratio(sides[name], sides[_OURS])) for name in (_MAMBA, *_RIVAL))

    lengths = [row.steps for row in costs.rows]
    lines = [_line(name, lengths, [_milliseconds(sides[name]) for sides in best]) for name in best[0]]
    shares = [_line(name, lengths, [ratio(sides[name], sides[_OURS]) for sides in best]) for name in (_MAMBA, *_RIVAL)]
    if paper.TEST_CONTEXT in lengths:
        point = [paper.TEST_RATIO]
        shares.append(Line("the paper, on a GPU", [paper.TEST_CONTEXT], point, point, point))
    return Page(
        title="What a step costs",
        asked=_ASKED,
        verdicts=list(_verdicts(costs, best)),
        body=[
            "## Milliseconds per step",
            table(("context, steps", *best[0]), times()),
            _ABOUT_TIMES,
            "## Times the cost of DM-H",
            table(("context, steps", _MAMBA, *_RIVAL), ratios()),
            _ABOUT_THE_PAPER,
            f"The machine's load was {costs.load:.1f} when it began: so many processes wanted to run.",
        ],
        pictures={
            "cost": (
                "Time per step, and its ratio to DM-H's, by length of the context",
                [
                    Panel("time per step", "context, environment steps", "ms per step", lines, log=True),
                    Panel("times the cost of DM-H", "context, environment steps", "ratio", shares, log=True),
                ],
            )
        },
        columns=("context_steps", "side", "round", "seconds_per_step"),
        rows=(
            (row.steps, times.name, number, f"{seconds:.4g}")
            for row in costs.rows
            for times in row.sides
            for number, seconds in enumerate(times.seconds)
        ),
    )


def _sizes(budget: Budget) -> dict[str, ModelConfig]:
    """The models by the name of a side."""
    if budget == "smoke":
        return {
            _OURS: DMHConfig(width=8, memory_layers=1, actor_layers=1, heads=2),
            _MAMBA: ADMambaConfig(width=8, layers=1),
            _EXPORTED: ADTransformerConfig(width=8, layers=1, heads=2, window_episodes=_EPISODES),
        }
    return {_OURS: DMHConfig(), _MAMBA: ADMambaConfig(), _EXPORTED: ADTransformerConfig(window_episodes=_EPISODES)}


def _sides(budget: Budget, steps: int, constant: dict[str, OrtSession], transformer: ModelConfig) -> dict[str, Side]:
    """All sides, with ``steps`` steps behind them; ``constant`` are those whose graphs know no length."""
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
    sides[_EXPORTED] = Side(endless_episode(session), _turn(steps), rounds)
    model = checkpoint.build()
    assert isinstance(model, SequencePolicy)
    for threads in sorted({1, cores()}):
        fast = _step_of(ad_steps.standing_in(model, ad_steps.InPlace))
        fast()
        sides[_threaded(_IN_PLACE, threads)] = Side(fast, _turn(steps), rounds, threads)
        slow = _step_of(ad_steps.standing_in(model, ad_steps.Rereading))
        sides[_threaded(_REREADING, threads)] = Side(slow, 1, few, threads)
    return sides


def _task(steps: int) -> TaskSpec:
    """Darkroom with episodes so long that a context of theirs has ``steps`` steps."""
    return tasks.find("darkroom").spec.model_copy(update={"horizon": steps // _EPISODES})


def _turn(steps: int) -> int:
    """Steps of a turn of those whose steps grow: enough for the clock, and few where each is long."""
    return DMHConfig().chunk if steps <= 1_000 else 4


def _fill(session: OrtSession) -> None:
    """A cache full of steps that never were."""
    random = np.random.default_rng(0)
    state = session.state()
    state |= {name: random.standard_normal(state[name].shape, np.float32) for name in ("key", "value")}
    state["life"][:] = _EPISODES
    session.restore(state)


def _step_of(model: SequencePolicy) -> Callable[[], object]:
    """A step of one robot by PyTorch, to the action."""
    world = {tensor.name: torch.from_numpy(tensor.zeros(1)) for tensor in model.model_spec().world}

    @torch.inference_mode()
    def step() -> object:
        return model.step("policy", world)["action"].item()

    return step


def _threaded(name: str, threads: int) -> str:
    return f"{name}, {threads} threads"


def _best(row: AtLength, name: str) -> Times:
    """Of the sides of that name, with one number of threads or another, the one with the lower median."""
    return min(
        (times for times in row.sides if times.name.startswith(name)), key=lambda times: np.median(times.seconds)
    )


def _milliseconds(times: Times) -> Spread:
    return Spread.of([1000 * seconds for seconds in times.seconds])


def _line(name: str, x: list[int], y: list[Spread]) -> Line:
    return Line(name, x, [at.median for at in y], [at.low for at in y], [at.high for at in y])


def _verdicts(costs: Costs, best: list[dict[str, Times]]) -> Iterator[str]:
    for row, sides in zip(costs.rows, best, strict=True):
        if row.steps == paper.TEST_CONTEXT:
            again = ratio(sides[_REREADING], sides[_OURS])
            yield (
                f"At the paper's {row.steps:,} steps, re-reading the context costs {again} times as much as DM-H, "
                f"where the paper has {paper.TEST_RATIO}; the fastest of the three ways to run AD with a transformer "
                f"({_fastest(sides)}) costs {ratio(sides[_fastest(sides)], sides[_OURS])} times as much."
            )
    row, sides = costs.rows[-1], best[-1]
    fastest = _fastest(sides)
    above = ratio(sides[fastest], sides[_OURS])
    passed = above.median > paper.TEST_RATIO
    yield (
        f"At {row.steps:,} steps the fastest of the three ways to run AD with a transformer ({fastest}) costs {above} "
        f"times as much as DM-H: {paper.TEST_RATIO} times is "
        + ("passed." if passed else f"missed by a factor of {paper.TEST_RATIO / above.median:.2g}.")
    )
    ours, theirs = (
        [min(float(np.median(sides[name].seconds)) for name in names) for sides in (best[0], best[-1])]
        for names in ([_OURS], _RIVAL)
    )
    yield (
        f"From {costs.rows[0].steps:,} to {row.steps:,} steps the cost of DM-H changes by a factor of "
        f"{ours[1] / ours[0]:.2f}, that of the fastest way to run AD with a transformer by {theirs[1] / theirs[0]:.3g}."
    )
    mamba = ratio(sides[_MAMBA], sides[_OURS])
    yield f"AD with Mamba, whose state does not grow either, costs {mamba} times as much as DM-H."


def _fastest(sides: dict[str, Times]) -> str:
    return min(_RIVAL, key=lambda name: np.median(sides[name].seconds))


STUDY = Study("cost", run)
