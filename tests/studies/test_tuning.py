from __future__ import annotations

import csv

from dmh_edge.studies import tuning

_CHANGES = ("labels: the behaviour's own actions", "loss on the last episode of a context")


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
    assert done.page_comes_from_its_csv_file()
    text = done.text("tuning.md")
    for model in ("dm-h", "ad-mamba", "ad-transformer"):
        section = text.split(f"## {model}\n")[1].split("\n## ")[0]
        rows = [row for row in section.splitlines() if row.startswith("| ")]
        assert [row.split("|")[1].strip() for row in rows[2:]] == ["the start", *_CHANGES]
        assert [row.count("[") for row in rows[2:]] == [1, 2, 2]
        again = text.split(f"### {model}\n")[1].split("\n##")[0]
        rows = [row for row in again.splitlines() if row.startswith("| ")]
        names = [row.split("|")[1].strip() for row in rows[2:]]
        assert sorted(names) == sorted(["the start", *_CHANGES, names[-1]])
        assert sorted(names[-1].split("; ")) == sorted(_CHANGES)
    assert [verdict.split(":")[0] for verdict in done.page.verdicts] == ["dm-h", "ad-mamba", "ad-transformer"]
    returns = list(csv.DictReader(done.text("tuning.csv").splitlines()))
    first, again = 3, 3 + 2  # the start and each change; these with a second seed, and together with both
    assert len(returns) == 3 * (first + again) * 2  # systems, cells, hidden tasks
    assert all(row["episode_3"] and "episode_4" not in row for row in returns)
    assert {(row["policy"], row["training_seed"]) for row in returns} >= {("dm-h, the start", "1")}
