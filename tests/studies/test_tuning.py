from __future__ import annotations

import csv

from dmh_edge.studies import tuning


def test_every_system_has_as_many_trials_as_dm_h() -> None:
    counts = {model: len(tuning._changes("cpu", model)) for model in ("dm-h", "ad-mamba", "ad-transformer")}
    assert len(set(counts.values())) == 1
    assert counts["dm-h"] == 10


def test_what_was_best_is_tried_again_alone_and_together() -> None:
    changes = {"the start": {}, "a": {"model.width": 8}, "b": {"data.batch": 2}, "c": {"model.width": 9}}
    again = tuning._again(changes, ["c", "a", "the start", "b"])  # a and c cannot be had together
    assert again == {
        "the start": {},
        "c": {"model.width": 9},
        "b": {"data.batch": 2},
        "c; b": {"model.width": 9, "data.batch": 2},
    }


def test_the_page_holds_each_change_against_the_start(conduct):
    done = conduct("tuning")
    text = done.text("tuning.md")
    for model in ("dm-h", "ad-mamba", "ad-transformer"):
        section = text.split(f"## {model}\n")[1].split("\n## ")[0]
        rows = [row for row in section.splitlines() if row.startswith("| ")]
        assert [row.split("|")[1].strip() for row in rows[-2:]] == ["the start", "labels: the behaviour's own actions"]
        assert rows[-1].count("[") == 2
        assert text.split(f"### {model}\n")[1].count("labels: the behaviour's own actions |") >= 1
    assert [verdict.split(":")[0] for verdict in done.page.verdicts] == ["dm-h", "ad-mamba", "ad-transformer"]
    returns = list(csv.DictReader(done.text("tuning.csv").splitlines()))
    assert len(returns) == 3 * 2 * 2 * 3  # systems, changes, hidden tasks, episodes
