from __future__ import annotations

import csv
import datetime as dt

import pytest

from dmh_edge.errors import ArtifactError
from dmh_edge.plots import Line, Panel
from dmh_edge.studies.results import Results
from dmh_edge.studies.study_page import Colophon, Page, table, write

PANEL = Panel("title", "x, steps", "y, ms", [Line("one", [1, 10], [2, 3], [1, 2], [3, 4])], log=True)
PAGE = Page(
    title="What was asked",
    asked="How much of it?",
    verdicts=("Much.", "More."),
    body=("## Much", table(("it", "much"), [("a", "1")])),
    pictures={"asked": ("much by it", [PANEL] * 5)},
)
RESULTS = Results.of(("it", "much"), [("a", 1), ("b, c", 2)])
COLOPHON = Colophon("dmh-edge study asked", "cpu: small", ("a processor",), ("torch 2", "torch 3"), 90)


def test_a_page_says_what_was_asked_what_came_of_it_and_how(tmp_path):
    written = write("asked", PAGE, RESULTS, COLOPHON, tmp_path)
    assert sorted(path.name for path in written) == sorted(path.name for path in tmp_path.iterdir())
    text = (tmp_path / "asked.md").read_text()
    for part in (
        "# What was asked\n\nHow much of it?\n\n- Much.\n- More.\n\n![much by it](asked.png)\n\n## Much\n",
        "| it | much |\n| --- | ---: |\n| a | 1 |\n",
        "    dmh-edge study asked\n",
        "- machine: a processor\n- versions: torch 2; torch 3\n- time spent: 2 min",
        f"- date: {dt.datetime.now(dt.timezone.utc).date()}\n",
    ):
        assert part in text
    assert str(tmp_path) not in text
    assert list(csv.reader((tmp_path / "asked.csv").read_text().splitlines())) == [
        ["it", "much"],
        ["a", "1"],
        ["b, c", "2"],
    ]
    assert (tmp_path / "asked.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"asked\.png cannot be written"):
        write("asked", PAGE, RESULTS, COLOPHON, tmp_path / "file")
