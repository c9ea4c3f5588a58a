"""How much delay does a policy tolerate? Its return on an arm in real time, by the delay between policy and arm.

This helps to choose a control rate, a bus and a camera: each of them adds delay, and delay lowers the return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmh_edge import tasks
from dmh_edge.evaluate import FORGETFUL, Evaluation, Returns
from dmh_edge.intervals import Interval
from dmh_edge.plots import Line, Panel
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.studies.bootstrap import BOOTSTRAPS, Difference, interval
from dmh_edge.studies.latency_runs import MODEL, TASK, TRIALS, Measured, measure, planned, train
from dmh_edge.studies.rehearsal import Added, Option, RehearsedRun
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Page, table

#: Names on the page of what is added.
WORDS: Mapping[Option, str] = {
    "latency_s": "latency",
    "jitter_s": "jitter, at most",
    "actuator_delay_s": "actuator delay",
}
_RETURN, _TOLD, _LOCKSTEP = "return", "return told", " in lockstep"
_STOPPED = "stopped: "

_ABOUT_RETURNS = (
    "A return is the sum of the rewards by where the arm was at the end of each control period, whatever the policy "
    "had observed by then. The rewards that the policy observes are as late as its other observations; their sum is in "
    "the CSV as *return told*. Means and 95% intervals, bootstrapped over hidden targets; differences are taken target "
    "by target, each with the same start poses and the same noise. The intervals show a loss where the interval of the "
    f"difference lies below 0 with each of {BOOTSTRAPS} seeds of the bootstrap. Under jitter an observation is older "
    "by a random time, which is drawn again at every reading, uniform from 0 to the maximum in the table."
)
_ABOUT_THE_CONTRACT = (
    "*As exported* is a separate run, on one target, with the contract's limit on the age of an observation and the "
    "guard's defaults. All other runs accept old observations and delays of a busy machine, up to one second each, "
    "so that only the policy is measured. A robot that is driven by torques does not support holding the last torque: "
    "where the contract's limit is passed, the guard stops it."
)
_ABOUT_MISSES = (
    "*Missed* are slots that passed without a turn of the loop, because the machine was busy; *again* are runs that "
    "were made again because of it. Where either is well above 0, the row measures the machine as well."
)


@dataclass(frozen=True)
class Level:
    """Results with one amount of latency, jitter or actuator delay, as the page states them.

    Attributes:
        added: what is added, and how much.
        returns: returns of all runs, ``[1, targets, episodes]``.
        missed: slots that passed without a turn of the loop, as a share of all slots.
        again: number of runs that were made again.
        as_exported: how the run with the unchanged contract ended.
    """

    added: Added
    returns: Returns
    missed: float
    again: int
    as_exported: str

    def minus(self, other: Level) -> Difference:
        """Difference of the returns, target by target."""
        return Difference.of(self.returns - other.returns)


def find(budget: Budget, workshop: Workshop) -> Results:
    """Train one policy, and run it with each amount of latency, jitter and actuator delay."""
    trained = train(budget, workshop)
    return results_of(measure(budget, workshop, trained), trained.lockstep)


def results_of(found: Sequence[Measured], lockstep: Evaluation) -> Results:
    """Two rows for each run: its returns, and the returns that the policy observed; one row for each lockstep agent."""
    names = (
        *("quantity", "added", "milliseconds", "hidden", "slots", "skipped_slots", "held_slots", "tries"),
        *("as_exported", "mean", "low", "high"),
    )
    episodes = len(found[0].runs[0].returns)

    def rows() -> Iterator[tuple[object, ...]]:
        for one in found:
            for run in one.runs:
                for quantity, returns in ((_RETURN, run.returns), (_TOLD, run.seen)):
                    yield (
                        *(quantity, one.added.option, one.added.milliseconds, run.hidden, run.slots),
                        *(run.skipped_slots, run.held_slots, run.tries, _ending(one.as_exported), "", "", ""),
                        *(round(value, 4) for value in returns),
                    )
        for curve in lockstep.curves:
            if curve.name != FORGETFUL:
                mean = interval(np.array(curve.returns))
                numbers = (round(value, 4) for value in (mean.mean, mean.low, mean.high))
                yield curve.name + _LOCKSTEP, *[""] * 8, *numbers, *[""] * episodes

    return Results.of((*names, *(f"episode_{number}" for number in range(1, episodes + 1))), rows())


def page(budget: Budget, results: Results) -> Page:
    """Compare what was added with nothing added on one page."""
    found, lockstep = _levels(results), _lockstep(results)
    nothing, task, updates = found[0], tasks.find(TASK).spec, planned(budget).config.training.updates
    targets, episodes = TRIALS[budget]

    def rows() -> Iterator[tuple[str, ...]]:
        for one in found:
            yield (
                "nothing" if one is nothing else WORDS[one.added.option],
                f"{one.added.milliseconds:g}",
                f"{one.added.seconds * task.rate_hz:g}",
                str(interval(one.returns)),
                "" if one is nothing else str(one.minus(nothing)),
                one.as_exported,
                f"{one.missed:.2%}",
                str(one.again),
            )

    return Page(
        title="Latency: what it costs to be late",
        asked=(
            f"Return of one {MODEL} policy on {TASK} at {task.rate_hz:g} Hz - a control period is "
            f"{1000 / task.rate_hz:g} ms - when latency or jitter is added to what it observes, or delay to what it "
            f"does. Trained for {0 if budget == 'smoke' else updates:,} updates without any of these, exported, and "
            f"run by the control loop on `mujoco:{TASK}`, whose physics runs in real time: {targets} hidden targets "
            f"that no data set holds, {episodes} episodes in a row on each, actions sampled, no updates. Lockstep is "
            "the same policy on the same targets in an environment whose time stands still while it computes."
        ),
        verdicts=list(_verdicts(found, task.rate_hz, task.max_observation_age_s, lockstep[MODEL])),
        body=[
            table(
                ("added", "ms", "periods", "return", "difference from nothing", "as exported", "missed", "again"),
                rows(),
            ),
            "In lockstep: " + ", ".join(f"{name} {value}" for name, value in lockstep.items()) + ".",
            _ABOUT_RETURNS,
            _ABOUT_THE_CONTRACT,
            _ABOUT_MISSES,
        ],
        pictures={
            "latency": (
                "Return against added latency, jitter and actuator delay",
                [_panel(found, lockstep, 1000 / task.rate_hz, 1000 * task.max_observation_age_s)],
            )
        },
    )


def _levels(results: Results) -> list[Level]:
    """Results by what was added, in the order of the rows; the level with nothing added comes first."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in results.records(quantity=_RETURN):
        groups.setdefault((row["added"], row["milliseconds"]), []).append(row)
    episodes = [column for column in results.columns if column.startswith("episode_")]
    options: dict[str, Option] = {option: option for option in WORDS}
    levels = []
    for (option, milliseconds), rows in groups.items():
        skipped = sum(int(row["skipped_slots"]) for row in rows)
        levels.append(
            Level(
                added=Added(option=options[option], seconds=float(milliseconds) / 1000),
                returns=np.array([[[float(row[episode]) for episode in episodes] for row in rows]]),
                missed=skipped / max(1, skipped + sum(int(row["slots"]) for row in rows)),
                again=sum(int(row["tries"]) - 1 for row in rows),
                as_exported=rows[0]["as_exported"],
            )
        )
    return levels


def _lockstep(results: Results) -> dict[str, Interval]:
    """Return in lockstep by agent."""
    return {
        row["quantity"].removesuffix(_LOCKSTEP): Interval(
            mean=float(row["mean"]), low=float(row["low"]), high=float(row["high"])
        )
        for row in results.records()
        if row["quantity"].endswith(_LOCKSTEP)
    }


def _by_option(found: Sequence[Level]) -> dict[Option, list[Level]]:
    """Levels by option, the smallest amount first; the level with nothing added is left out."""
    groups: dict[Option, list[Level]] = {}
    for one in found:
        if one.added.seconds:
            groups.setdefault(one.added.option, []).append(one)
    return groups


def _verdicts(found: Sequence[Level], rate_hz: float, age_s: float, lockstep: Interval) -> Iterator[str]:
    nothing = found[0]
    yield f"With nothing added the return in real time is {interval(nothing.returns)}, in lockstep {lockstep}."
    for option, levels in _by_option(found).items():
        yield f"{WORDS[option].partition(',')[0].capitalize()}: {_how_far(nothing, levels, rate_hz)}."
    stopped = [one for one in found if one.as_exported == _STOPPED + Fault.OBSERVATION_STALE.value]
    if stopped:
        words = "; ".join(
            f"{WORDS[option]} {ones[0].added.milliseconds:g} ms" for option, ones in _by_option(stopped).items()
        )
        yield (
            f"The contract as exported accepts observations of at most {1000 * age_s:g} ms: the guard stops the run "
            f"from {words} on."
        )
    worst = max(found, key=lambda one: one.missed)
    yield f"The machine missed at most {worst.missed:.2%} of the slots of a row."


def _how_far(nothing: Level, levels: Sequence[Level], rate_hz: float) -> str:
    """The last amount before the first loss, the first amount with a loss, and the loss at the largest amount."""
    losses = [one.minus(nothing) for one in levels]
    first = next((number for number, loss in enumerate(losses) if loss.verdict == "below"), len(levels))
    parts = []
    if first:
        kept = levels[first - 1].added
        parts.append(
            f"up to {kept.milliseconds:g} ms ({kept.seconds * rate_hz:g} control periods) the intervals show no loss, "
            f"and the difference there is {losses[first - 1]}"
        )
    last = len(levels) - 1
    for number in [first] if first == last else [first, last]:
        if number >= len(levels) or losses[number].verdict != "below":
            continue
        lost = levels[number].added
        parts.append(
            f"at {lost.milliseconds:g} ms ({lost.seconds * rate_hz:g} periods) the return falls from "
            f"{interval(nothing.returns)} to {interval(levels[number].returns)}"
        )
    return "; ".join(parts)


def _ending(run: RehearsedRun) -> str:
    """How a run with the unchanged contract ended, in words."""
    return "runs" if run.is_whole else _STOPPED + run.detail.partition(";")[0]


def _panel(found: Sequence[Level], lockstep: Mapping[str, Interval], period_ms: float, age_ms: float) -> Panel:
    nothing = found[0]
    lines = [
        Line.of(WORDS[option], [one.added.milliseconds for one in ones], [interval(one.returns) for one in ones])
        for option, levels in _by_option(found).items()
        for ones in ([nothing, *levels],)
    ]
    ends = [0.0, max(one.added.milliseconds for one in found)]
    for name, value in lockstep.items():
        lines.append(Line.of("lockstep" if name == MODEL else name, ends, [value, value]))
    return Panel(
        f"{TASK} in real time, mean and 95% interval",
        "added, ms",
        "return",
        lines,
        marks=((period_ms, "control period"), (age_ms, "contract's age limit")),
    )


STUDY = Study("latency", find, page)
