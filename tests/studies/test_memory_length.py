from __future__ import annotations

import csv

import pytest

from dmh_edge.studies.memory_length_costs import Probe, estimate


def test_what_training_would_take_follows_the_power_law_of_what_was_measured():
    probes = [
        Probe(system="dt", length=length, seconds=seconds, gigabytes=size)
        for length, seconds, size in ((1_000, 1, 0.1), (5_000, 25, 0.5))
    ]
    assert estimate(probes, 5_000) == pytest.approx((25, 0.5))
    assert estimate(probes, 100_000) == pytest.approx((10_000, 10))


def test_the_page_says_where_each_system_was_trained_and_what_grows(conduct):
    done = conduct("tmaze")
    assert done.page_comes_from_its_csv_file()
    text = done.text("tmaze.md")
    success = text.split("## Success rate")[1]
    short, long = (next(row for row in success.splitlines() if row.startswith(f"| {length} | ")) for length in (4, 8))
    assert short.count("[") == 3
    assert long.count("trained at 4") == 2
    assert "not trained: over 0.0 h for 4 episodes" in long
    assert "out of memory" in text

    rows = list(csv.DictReader(done.text("tmaze.csv").splitlines()))
    state = {(row["system"], int(row["length"])): int(row["value"]) for row in rows if row["quantity"] == "state_bytes"}
    assert state["dm-h", 4] == state["dm-h", 8]
    assert state["dm", 4] == state["dm", 8]
    assert state["dt", 4] < state["dt", 8]
    assert len([row for row in rows if row["quantity"] == "return with sign 1" and row["system"] == "dm-h"]) == 2
    assert [verdict.split(":")[0] for verdict in done.page.verdicts] == ["dm-h", "dm", "dt"]
