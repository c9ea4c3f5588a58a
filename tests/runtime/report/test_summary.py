from __future__ import annotations

from rich.console import Console

from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.report.tally import Tally
from dmh_edge.runtime.sessions.fake_session import fake_contract
from dmh_edge.schema import parse


def summary_of(tally: Tally, **faults: int) -> Summary:
    counts = {Fault[name]: count for name, count in faults.items()}
    return Summary.of(tally, fake_contract(TWO_JOINTS), backend="fake", rate_hz=50.0, faults=counts, unrecorded=4)


def busy() -> Tally:
    tally = Tally(slots=12, ticks=10, held_slots=1, overruns=2, skipped_slots=5, returns=[1.5, 2.5], stopped_by="ticks")
    for duration_us in range(1, 11):
        tally.durations["actor"].lateness.add(1000 * duration_us)
        tally.durations["actor"].compute.add(2000 * duration_us)
        tally.durations["actor"].total.add(3000 * duration_us)
    return tally


def test_percentiles_are_in_microseconds_and_kinds_of_slots_apart():
    summary = summary_of(busy())
    assert summary.actor.count == 10
    assert abs(summary.actor.lateness.p50_us - 5) <= 5 / 128
    assert (summary.actor.lateness.max_us, summary.actor.compute.max_us, summary.actor.total.max_us) == (10, 20, 30)
    assert summary.boundary.count == 0
    assert summary.boundary.total.max_us == 0


def test_it_goes_through_json_without_loss():
    summary = summary_of(busy(), REWARD_MISSING=3)
    assert parse(Summary, summary.model_dump_json(), "summary") == summary


def test_faults_that_were_never_seen_are_not_listed():
    assert summary_of(Tally(), REWARD_MISSING=3, ACTION_TOO_FAST=0).faults == {"reward missing": 3}


def test_the_table_tells_people_what_happened():
    table = summary_of(busy(), REWARD_MISSING=3).table()
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    for words in ("10 in 12 slots, 1 held", "2, 5 slots skipped", "actor ticks (10)", "reward missing", "1.5 2.5"):
        assert words in text
    assert "not in the records" in text
    assert "boundary ticks" not in text


def test_many_episodes_are_shown_from_both_ends():
    console = Console(width=200)
    with console.capture() as captured:
        console.print(summary_of(Tally(returns=[float(index) for index in range(100)])).table())
    assert "0 1 2 3 4 5 6 7 8 9 ... 90 91 92 93 94 95 96 97 98 99" in captured.get()
