"""The study of latency, and the runs in real time that it is made of."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.errors import DmhEdgeError, RobotError
from dmh_edge.evaluate import Curve, Evaluation
from dmh_edge.export.pipeline import export_unproved
from dmh_edge.presets import load
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.studies import latency, latency_runs, rehearsal
from dmh_edge.studies.bootstrap import interval
from dmh_edge.studies.latency import Level
from dmh_edge.studies.latency_runs import Measured
from dmh_edge.studies.rehearsal import Added, Rehearsal, RehearsedRun, rehearse, stage
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import SMOKE, settings

#: A target beside the fingertip of the stretched arm.
NEAR = 73


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Untrained; it turns both joints as hard as it can."""
    config = load("dark-reacher", "dm-h", None, settings("dark-reacher", "dm-h", SMOKE)).model
    checkpoint = Checkpoint.untrained(config, tasks.find("dark-reacher").spec)
    checkpoint.model["actor.head.bias"].fill_(3.0)
    return export_unproved(checkpoint, tmp_path_factory.mktemp("policy"), "untrained")


def run(
    hidden: int = 80, returns: tuple[float, ...] = (-4.0,), skipped: int = 0, stopped_by: str = "episodes"
) -> RehearsedRun:
    return RehearsedRun(
        hidden=hidden,
        returns=returns,
        seen=returns,
        stopped_by=stopped_by,
        detail="observation too old; more of it" if stopped_by == "guard" else "",
        stale=int(stopped_by == "guard"),
        slots=51,
        held_slots=0,
        skipped_slots=skipped,
        tries=1,
    )


def measured(ms: float, returns: list[float], as_exported: str = "episodes", skipped: int = 0) -> Measured:
    return Measured(
        added=Added(option="latency_s", seconds=ms / 1000),
        runs=tuple(run(number, (value,), skipped) for number, value in enumerate(returns)),
        as_exported=run(stopped_by=as_exported),
    )


def levels(found: list[Measured]) -> list[Level]:
    """The same as a page reads it from its CSV file."""
    lockstep = Evaluation(
        task="dark-reacher",
        policy="p",
        backend="torch",
        hidden=[80],
        seeds=[0],
        curves=[Curve.of("dm-h", np.array([[[-4.0]]]))],
    )
    return latency._levels(Results.parse(latency.results_of(found, lockstep).csv()))


def test_what_is_added_reaches_the_robot_under_the_contract_as_it_is(policy):
    """The guard of the real loop sees observations that are too old, wherever they are, and nowhere else."""
    for option, stale in (("latency_s", True), ("jitter_s", True), ("actuator_delay_s", False)):
        added = Added(option=option, seconds=0.6)
        found = rehearse(Rehearsal(policy, "dark-reacher", added, 80, 1, as_exported=True))
        assert (found.stale > 0) is stale, found
        if stale:
            assert (found.stopped_by, found.returns) == ("guard", ())
            assert "too old" in found.detail


def test_a_return_is_by_where_the_arm_was_and_not_by_what_the_policy_was_told(policy):
    """The policy spins the arm away from a near target. What is delayed by 0.9 of 1 s lets it stand there; told so
    late, it seems to.
    """
    late, delayed = (
        rehearse(Rehearsal(policy, "dark-reacher", Added(option=option, seconds=0.9), NEAR, 1))
        for option in ("latency_s", "actuator_delay_s")
    )
    assert late.is_whole
    assert delayed.is_whole
    assert delayed.returns == pytest.approx(delayed.seen, rel=0.1)
    assert late.seen == pytest.approx(delayed.returns, rel=0.25)
    assert late.returns[0] < 2 * late.seen[0]


def test_a_run_that_the_machine_spoilt_is_made_again(policy, monkeypatch):
    came = iter(
        [RobotError("its physics has not stepped"), run(skipped=20), run(stopped_by="watchdog"), run(skipped=1)]
    )

    def once(_asked: Rehearsal, tries: int) -> RehearsedRun:
        found = next(came)
        if isinstance(found, RobotError):
            raise found
        return found.model_copy(update={"tries": tries})

    monkeypatch.setattr(rehearsal, "_once", once)
    asked = Rehearsal(policy, "dark-reacher", Added(option="latency_s", seconds=0), 80, 1)
    found = rehearse(asked)
    assert (found.skipped_slots, found.tries) == (1, 4)

    came = iter(
        [run(stopped_by="watchdog"), run(skipped=9), run(skipped=7), run(skipped=8), run(stopped_by="watchdog")]
    )
    assert rehearse(asked).skipped_slots == 7  # the best of all, where none is good

    came = iter([run(stopped_by="watchdog")] * 5)
    with pytest.raises(DmhEdgeError, match=r"did not finish in 5 runs \(the watchdog ended it.*too busy for real time"):
        rehearse(asked)


def test_what_fails_in_a_process_ends_the_others(policy):
    nowhere = Policy(Path("nowhere"), policy.contract, "")
    asked = [
        Rehearsal(one, "dark-reacher", Added(option="latency_s", seconds=0), 80, 1000) for one in (nowhere, policy)
    ]
    with pytest.raises(DmhEdgeError, match="nowhere"), stage(2) as perform:
        perform(asked)


def test_the_verdict_says_up_to_where_nothing_is_lost_and_what_is_lost_then():
    found = levels(
        [
            measured(0, [-4.0, -3.0, -3.5]),
            measured(10, [-4.1, -2.9, -3.5]),
            measured(40, [-4.5, -3.6, -4.0], skipped=3),
            measured(120, [-8.0, -7.0, -7.5], as_exported="guard"),
        ]
    )
    first, latency_s, contract, machine = latency._verdicts(found, 50, 0.1, interval(found[0].returns))
    assert first.startswith("With nothing added the return in real time is -3.50 [")
    assert "Latency: up to 10 ms (0.5 control periods) the intervals show no loss" in latency_s
    assert "at 40 ms (2 periods) the return falls from -3.50 [-4.00, -3.00] to -4.03 [" in latency_s
    assert "at 120 ms (6 periods) the return falls from -3.50 [-4.00, -3.00] to -7.50 [" in latency_s
    assert "at most 100 ms: the guard stops the run from latency 120 ms on" in contract
    assert machine == f"The machine missed at most {9 / (9 + 3 * 51):.2%} of the slots of a row."


def test_where_nothing_is_lost_at_all_nothing_falls():
    found = levels([measured(0, [-4.0, -3.0]), measured(10, [-3.9, -3.1]), measured(20, [-4.1, -2.9])])
    said = latency._how_far(found[0], found[1:], 50)
    assert said.startswith("up to 20 ms (1 control periods) the intervals show no loss")
    assert "falls" not in said


def test_the_page_shows_each_setting_and_measures_once(conduct, monkeypatch):
    done = conduct("latency")
    assert done.page_comes_from_its_csv_file()
    text = done.text("latency.md")
    cells = [row.strip("| ").split(" | ") for row in text.splitlines() if row.count(" | ") > 5]
    stopped = {name: as_exported for name, _, _, _, _, as_exported, *_ in cells[2:]}
    assert list(stopped) == ["nothing", "latency", "jitter, at most", "actuator delay"]
    assert stopped["latency"] == "stopped: observation too old"
    assert "guard stops the run from latency 120 ms on" in text
    every = list(csv.DictReader(done.text("latency.csv").splitlines()))
    rows = [row for row in every if row["quantity"] == "return"]
    assert [(row["added"], row["milliseconds"]) for row in rows] == [
        ("latency_s", "0"),
        ("latency_s", "120"),
        ("jitter_s", "40"),
        ("actuator_delay_s", "40"),
    ]
    assert [row["quantity"] for row in every if not row["added"]] == [
        "dm-h in lockstep",
        "expert in lockstep",
        "random in lockstep",
    ]
    assert len([row for row in every if row["quantity"] == "return told"]) == len(rows)
    assert {row["hidden"] for row in rows} == {"80"}  # no data set holds it
    monkeypatch.setattr(latency_runs, "stage", lambda _at_once: nullcontext(None))  # no worker is there
    monkeypatch.setattr(latency_runs, "export_unproved", None)  # nor is anything exported to be run
    assert conduct("latency").text("latency.md") == text
