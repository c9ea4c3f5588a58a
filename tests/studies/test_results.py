"""The CSV file of a study, and the published pages, which follow from theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dmh_edge.studies.conduct import STUDIES
from dmh_edge.studies.results import Results
from dmh_edge.studies.study_page import Page

PUBLISHED = Path(__file__).parents[2] / "docs" / "results"
_FIGURE = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def lines_with_figures(page: Page) -> list[str]:
    """The verdicts, the rows of the tables, and the lines between them that hold figures."""
    verdicts = [f"- {verdict}" for verdict in page.verdicts]
    return verdicts + [line for block in page.body for line in block.splitlines() if _FIGURE.search(line)]


def test_texts_and_numbers_come_back_exactly():
    rows = [("a, b", 1, 1 / 3, 2.0, ""), ('"c"', -1, 1e-9, 0.5, "d")]
    found = Results.parse(Results.of(("one", "two", "three", "four", "five"), rows).csv())
    assert found.columns == ("one", "two", "three", "four", "five")
    assert [float(row["three"]) for row in found.records()] == [1 / 3, 1e-9]
    assert found.rows[0] == ("a, b", "1", "0.3333333333333333", "2", "")
    assert [row["one"] for row in found.records(two="-1", five="d")] == ['"c"']


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_of_a_published_page_follows_from_its_csv_file(name):
    page = STUDIES[name].page("cpu", Results.parse((PUBLISHED / f"{name}.csv").read_text()))
    told = (PUBLISHED / f"{name}.md").read_text().partition("## How it was made")[0].splitlines()
    made = lines_with_figures(page)
    assert [line for line in told[4:] if _FIGURE.search(line) and not line.startswith("![")] == made
    assert not re.search(r"-0\.0+\b", "\n".join(told))


def test_the_published_results_stay_small():
    files = list(PUBLISHED.glob("*.csv"))
    assert len(files) == len(STUDIES)
    assert sum(file.stat().st_size for file in files) < 1_000_000
