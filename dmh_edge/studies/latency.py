"""How late may it be: the return of one policy on an arm in real time, against what is added between the two.

That is what a user needs to choose a rate, a bus and a camera: all of these cost time, and time costs return.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.evaluate import Evaluation, Returns, evaluate
from dmh_edge.export.pipeline import export_unproved
from dmh_edge.intervals import Interval, intervals
from dmh_edge.plots import Line, Panel
from dmh_edge.presets import load
from dmh_edge.schema import Spec
from dmh_edge.studies import engines
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.rehearsal import Added, Option, Rehearsal, Run, stage
from dmh_edge.studies.study import FULL, SMOKE, Budget, Study, Workshop, settings
from dmh_edge.studies.study_page import Page, table

_TASK, _MODEL = "dark-reacher", "dm-h"
#: Hidden targets, and episodes in a row on each of them.
_TRIALS: Mapping[Budget, tuple[int, int]] = {"smoke": (1, 1), "cpu": (16, 3), "full": (16, 20)}
_MS = (5, 10, 20, 30, 40, 60, 80, 120)
_MILLISECONDS: Mapping[Budget, Mapping[Option, Sequence[float]]] = {
    "smoke": {"latency_s": (120,), "jitter_s": (40,), "actuator_delay_s": (40,)},
    "cpu": {"latency_s": _MS, "jitter_s": _MS, "actuator_delay_s": _MS},
    "full": {"latency_s": _MS, "jitter_s": _MS, "actuator_delay_s": _MS},
}
_SETTINGS: Mapping[Budget, Mapping[str, Any]] = {
    "smoke": SMOKE | {"model.chunk": 5},
    "cpu": {"training.updates": 1_600, "training.device": "cpu"},
    "full": FULL,
}
#: At once per job: each takes a part of a core, most of it to start its processes.
_ARMS = 2
#: What is added, in words.
WORDS: Mapping[Option, str] = {
    "latency_s": "latency",
    "jitter_s": "jitter, at most",
    "actuator_delay_s": "actuator delay",
}
_NOTHING = Added(option="latency_s", seconds=0)

_ABOUT_RETURNS = (
    "Returns are sums of rewards by where the arm was at the end of each control period, whatever the policy had been "
    "shown by then; what the policy was told, which is as late as all else that it observes, is in the CSV as "
    "*return_told*. Means and 95% intervals, bootstrapped over hidden targets; differences are taken target by target, "
    "each with the same start poses and the same noise, and each is judged by itself. An observation under jitter is "
    "older by a time drawn anew at every reading, uniform from 0 to what is said."
)
_ABOUT_THE_CONTRACT = (
    "*As exported* is a run of its own, on one target, with the contract's limit on the age of an observation and the "
    "guard's defaults. All other runs let the policy act on observations of any age, and give a busy machine a second, "
    "so that what is measured is the policy. A robot driven by torques bears no holding of the last one: where the "
    "contract's limit is passed, the guard stops it."
)
_ABOUT_MISSES = (
    "*Missed* are slots that passed without a turn of the loop, for which the machine is to blame; *again* are runs "
    "that were made again because of it. Where either is not near none, the row measures the machine as well."
)


class Measured(Spec):
    """What came of one thing that was added."""

    added: Added
    """What, and how much."""
    runs: tuple[Run, ...]
    """One per hidden target."""
    as_exported: Run
    """On the first target, with the contract as it is."""

    @property
    def returns(self) -> Returns:
        """``[1, targets, episodes]``."""
        return np.array([[run.returns for run in self.runs]])

    @property
    def missed(self) -> float:
        """Share of all slots."""
        skipped = sum(run.skipped_slots for run in self.runs)
        return skipped / max(1, skipped + sum(run.slots for run in self.runs))


@dataclass(frozen=True)
class _Trained:
    """The policy, how it does in lockstep, and where what is measured of it is kept, below the work folder."""

    checkpoint: Checkpoint
    lockstep: Evaluation
    place: Path


def run(budget: Budget, workshop: Workshop) -> Page:
    """Train one policy, and run it with one thing after the other added."""
    trained = _train(budget, workshop)
    task = trained.checkpoint.header.task
    found = _measure(budget, workshop, trained)
    nothing = found[0]
    targets, episodes = _TRIALS[budget]
    yardsticks = {curve.name: _mean(np.array(curve.returns)) for curve in trained.lockstep.curves}
    yardsticks.pop("memory zeroed at each episode", None)

    def rows() -> Iterator[tuple[str, ...]]:
        for one in found:
            yield (
                "nothing" if one is nothing else WORDS[one.added.option],
                f"{one.added.milliseconds:g}",
                f"{one.added.seconds * task.rate_hz:g}",
                str(_mean(one.returns)),
                "" if one is nothing else str(_difference(one, nothing)),
                _ending(one.as_exported),
                f"{one.missed:.2%}",
                str(sum(run.tries - 1 for run in one.runs)),
            )

    return Page(
        title="Latency: what it costs to be late",
        asked=(
            f"Return of one {_MODEL} policy on {_TASK} at {task.rate_hz:g} Hz - a control period is "
            f"{1000 / task.rate_hz:g} ms - when latency or jitter is added to what it observes, or delay to what it "
            f"does. Trained for {trained.checkpoint.header.step:,} updates without any of these, exported, and run by "
            f"the control loop on `mujoco:{_TASK}`, whose physics waits for nobody: {targets} hidden targets that no "
            f"data set holds, {episodes} episodes in a row on each, actions sampled, no updates. Lockstep is the same "
            "policy on the same targets in an environment whose time stands still while it computes."
        ),
        verdicts=list(_verdicts(found, task.rate_hz, task.max_observation_age_s, yardsticks[_MODEL])),
        body=[
            table(
                ("added", "ms", "periods", "return", "difference from nothing", "as exported", "missed", "again"),
                rows(),
            ),
            "In lockstep: " + ", ".join(f"{name} {value}" for name, value in yardsticks.items()) + ".",
            _ABOUT_RETURNS,
            _ABOUT_THE_CONTRACT,
            _ABOUT_MISSES,
        ],
        pictures={
            "latency": (
                "Return against added latency, jitter and actuator delay",
                [_panel(found, yardsticks, 1000 / task.rate_hz, 1000 * task.max_observation_age_s)],
            )
        },
        columns=(
            *("added", "milliseconds", "hidden", "episode", "return", "return_told", "slots", "skipped_slots"),
            *("held_slots", "tries", "as_exported"),
        ),
        rows=_csv_rows(found),
    )


def _train(budget: Budget, workshop: Workshop) -> _Trained:
    """The policy; at the smallest budget one that has learned nothing, since to make an arm's data takes a minute."""
    targets, episodes = _TRIALS[budget]
    wanted = settings(_TASK, _MODEL, _SETTINGS[budget])
    trial = Trial(task=_TASK, tasks=targets, episodes=episodes, seeds=1, exported=True)
    cell = Cell(name=_MODEL, task=_TASK, model=_MODEL, settings=wanted, seed=0, trials=(trial,))
    place = cell.folder(Path())
    if budget != "smoke":
        (outcome,) = workshop.finish([cell])
        return _Trained(Checkpoint.load(cell.folder(workshop.work)), outcome.evaluations[0], place)
    task = tasks.find(_TASK)
    checkpoint = Checkpoint.untrained(load(_TASK, _MODEL, None, wanted).model, task.spec)

    def lockstep() -> Evaluation:
        return evaluate(lambda batch: engines.session(checkpoint, batch), task, task.test_ids[:targets], episodes, [0])

    return _Trained(checkpoint, workshop.kept(str(place / "lockstep"), Evaluation, lockstep), place)


def _measure(budget: Budget, workshop: Workshop, trained: _Trained) -> list[Measured]:
    """Nothing added, then one thing after the other; each is kept as soon as it is measured."""
    targets, episodes = _TRIALS[budget]
    hidden = tasks.find(_TASK).test_ids[:targets]
    added = [_NOTHING] + [
        Added(option=option, seconds=ms / 1000)
        for option, levels in _MILLISECONDS[budget].items()
        for ms in sorted(levels)
    ]
    with tempfile.TemporaryDirectory() as scratch, stage(_ARMS * workshop.jobs) as perform:
        policy = export_unproved(trained.checkpoint, Path(scratch), _TASK)

        def measuring(one: Added) -> Callable[[], Measured]:
            def measure() -> Measured:
                workshop.say(f"{one.option} of {one.milliseconds:g} ms: {targets} targets in real time")
                asked = [Rehearsal(policy, _TASK, one, number, episodes) for number in hidden]
                asked.append(Rehearsal(policy, _TASK, one, hidden[0], episodes, as_exported=True))
                *runs, as_exported = perform(asked)
                return Measured(added=one, runs=tuple(runs), as_exported=as_exported)

            return measure

        return [
            workshop.kept(
                str(trained.place / f"{one.option}-{one.milliseconds:g}ms-{targets}x{episodes}"),
                Measured,
                measuring(one),
            )
            for one in added
        ]


def _by_option(found: Sequence[Measured]) -> dict[Option, list[Measured]]:
    """What was measured of each option, the least first; nothing added is left out."""
    groups: dict[Option, list[Measured]] = {}
    for one in found:
        if one.added.seconds:
            groups.setdefault(one.added.option, []).append(one)
    return groups


def _verdicts(found: Sequence[Measured], rate_hz: float, age_s: float, lockstep: Interval) -> Iterator[str]:
    nothing = found[0]
    yield f"With nothing added the return in real time is {_mean(nothing.returns)}, in lockstep {lockstep}."
    for option, levels in _by_option(found).items():
        yield f"{WORDS[option].partition(',')[0].capitalize()}: {_how_far(nothing, levels, rate_hz)}."
    stopped = [one for one in found if one.as_exported.stale]
    if stopped:
        words = "; ".join(
            f"{WORDS[option]} {ones[0].added.milliseconds:g} ms" for option, ones in _by_option(stopped).items()
        )
        yield (
            f"The contract as exported takes observations of at most {1000 * age_s:g} ms: the guard stops the run "
            f"from {words} on."
        )
    worst = max(found, key=lambda one: one.missed)
    yield f"The machine missed at most {worst.missed:.2%} of the slots of a row."


def _how_far(nothing: Measured, levels: Sequence[Measured], rate_hz: float) -> str:
    """Up to where no loss can be told, where the first can, and how much is lost at the end."""
    losses = [_difference(one, nothing) for one in levels]
    first = next((number for number, loss in enumerate(losses) if loss.high < 0), len(levels))
    parts = []
    if first:
        kept = levels[first - 1].added
        parts.append(
            f"up to {kept.milliseconds:g} ms ({kept.seconds * rate_hz:g} control periods) no loss that the intervals "
            f"can tell, the difference there is {losses[first - 1]}"
        )
    last = len(levels) - 1
    for number in [first] if first == last else [first, last]:
        if number >= len(levels) or losses[number].high >= 0:
            continue
        lost = levels[number].added
        parts.append(
            f"at {lost.milliseconds:g} ms ({lost.seconds * rate_hz:g} periods) the return falls from "
            f"{_mean(nothing.returns)} to {_mean(levels[number].returns)}"
        )
    return "; ".join(parts)


def _ending(run: Run) -> str:
    """How a run with the contract as it is ended."""
    return "runs" if run.is_whole else f"stopped: {run.detail.partition(';')[0]}"


def _panel(found: Sequence[Measured], yardsticks: Mapping[str, Interval], period_ms: float, age_ms: float) -> Panel:
    nothing = found[0]
    lines = [
        Line.of(WORDS[option], [one.added.milliseconds for one in ones], [_mean(one.returns) for one in ones])
        for option, levels in _by_option(found).items()
        for ones in ([nothing, *levels],)
    ]
    ends = [0.0, max(one.added.milliseconds for one in found)]
    for name, value in yardsticks.items():
        lines.append(Line.of("lockstep" if name == _MODEL else name, ends, [value, value]))
    return Panel(
        f"{_TASK} in real time, mean and 95% interval",
        "added, ms",
        "return",
        lines,
        marks=((period_ms, "control period"), (age_ms, "contract's age limit")),
    )


def _mean(returns: Returns) -> Interval:
    (found,) = intervals(returns.mean(-1, keepdims=True))
    return found


def _difference(one: Measured, nothing: Measured) -> Interval:
    """Target by target."""
    return _mean(one.returns - nothing.returns)


def _csv_rows(found: Sequence[Measured]) -> Iterator[tuple[object, ...]]:
    for one in found:
        for run in one.runs:
            for episode, (value, told) in enumerate(zip(run.returns, run.seen, strict=True), 1):
                yield (
                    *(one.added.option, one.added.milliseconds, run.hidden, episode, round(value, 4), round(told, 4)),
                    *(run.slots, run.skipped_slots, run.held_slots, run.tries, one.as_exported.stopped_by),
                )


STUDY = Study("latency", run)
