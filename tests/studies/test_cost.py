from __future__ import annotations

import csv

import numpy as np
import pytest

from dmh_edge.studies import cost, paper
from dmh_edge.studies.cost_times import ContextCosts, ContextTimes
from dmh_edge.studies.stopwatch import Side, Spread, Times, in_turns, ratio


def test_sides_take_turns_and_are_timed_per_step():
    made: list[str] = []
    sides = {
        "many": Side(lambda: made.append("m"), steps=3, turns=3),
        "few": Side(lambda: made.append("f"), steps=1, turns=2),
    }
    times = in_turns(sides)
    assert "".join(made) == "mmmfmmmfmmm"
    assert [(one.name, len(one.seconds)) for one in times] == [("many", 3), ("few", 2)]


def test_ratios_are_taken_round_by_round_where_both_were_timed():
    one, other = Times(name="one", seconds=[2, 9, 4]), Times(name="other", seconds=[1, 3, 2, 99])
    assert ratio(one, other) == Spread(2, 2, 2.5)
    assert str(Spread(12.3456, 1, 1000)) == "12.3 [1, 1,000]"


@pytest.fixture
def costs():  # type: ignore[no-untyped-def]
    """DM-H takes 1 ms at every length; the fastest way to run AD a given time at the longest."""

    def make(fastest_s: float) -> ContextCosts:
        def sides(scale: float) -> list[Times]:
            seconds = {
                "dm-h, exported": 1e-3,
                "ad-mamba, exported": 2e-3,
                "ad-transformer, context re-read, 1 threads": 9 * scale,
                "ad-transformer, context re-read, 2 threads": 5 * scale,
                "ad-transformer, KV cache, exported": 2 * scale,
                "ad-transformer, KV cache, in place, 1 threads": scale,
                "ad-transformer, KV cache, in place, 2 threads": 3 * scale,
            }
            return [Times(name=name, seconds=[taken] * 3) for name, taken in seconds.items()]

        rows = [
            ContextTimes(steps=paper.TEST_CONTEXT, sides=sides(fastest_s / 4)),
            ContextTimes(steps=16_000, sides=sides(fastest_s)),
        ]
        return ContextCosts(rows=rows, load=0.5)

    return make


@pytest.mark.parametrize(("fastest_s", "said"), [(0.03, "28 times is passed"), (0.014, "missed by a factor of 2.")])
def test_the_verdict_compares_dm_h_with_the_fastest_way_to_run_ad(costs, fastest_s, said):
    page = cost.page("cpu", cost.results_of(costs(fastest_s)))
    reread, fastest, growth, mamba = page.verdicts
    assert f"costs {5 * fastest_s / 4 / 1e-3:.3g} [" in reread
    assert "the paper has 28" in reread
    assert "(ad-transformer, KV cache, in place)" in fastest
    assert said in fastest
    assert "DM-H changes by a factor of 1.00, that of the fastest way to run AD with a transformer by 4" in growth
    assert mamba.endswith("Over all lengths a step costs 2 times as much as with DM-H.")


def test_the_verdict_on_ad_with_mamba_is_that_of_all_lengths_and_not_of_the_last_one(costs):
    found = costs(0.03)
    last = found.rows[-1].sides
    last[1] = Times(name=last[1].name, seconds=[0.8e-3] * 3)
    mamba = cost.page("cpu", cost.results_of(found)).verdicts[-1]
    assert mamba.endswith(
        "costs between 0.8 and 2 times as much as with DM-H: less at some lengths and more at others."
    )


def test_the_page_shows_what_was_measured_and_measures_once(conduct, monkeypatch):
    done = conduct("cost")
    assert done.page_comes_from_its_csv_file()
    rows = list(csv.DictReader(done.text("cost.csv").splitlines()))
    assert {row["context_steps"] for row in rows if row["side"]} == {"8", "16"}
    (load,) = (float(row["value"]) for row in rows if not row["side"])
    assert f"processes that want to run: {load:.1f}." in done.text("cost.md")
    ours = [float(row["value"]) for row in rows if row["side"] == "dm-h, exported"]
    assert len(ours) == 4
    assert f"| 16 | {1000 * np.median(ours[2:]):.3g} [" in done.text("cost.md")
    monkeypatch.setattr(cost, "measure", None)
    assert conduct("cost").text("cost.md") == done.text("cost.md")
