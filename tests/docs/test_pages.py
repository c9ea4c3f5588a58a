"""Pages lead somewhere, say at once what they are for, and show the files of examples/ as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|^ {4}[^\n]*$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^`(examples/\S+)`:\n\n```python\n(.*?)```$", re.MULTILINE | re.DOTALL)
UNWANTED = re.compile(r"\b(nobody|bears?|lest|shall|what is none)\b", re.IGNORECASE)


def prose(page: Path) -> str:
    """A page without its code."""
    return CODE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What links may name after #, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_a_page_begins_with_one_heading_and_a_sentence(page: Path) -> None:
    heading, empty, sentence, *_ = page.read_text().splitlines()
    assert re.match(r"# \w", heading)
    assert not empty
    assert re.match(r"[A-Z\[d|]", sentence)
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1


def test_a_page_is_written_in_plain_words(page: Path) -> None:
    assert not UNWANTED.findall(prose(page))


def test_the_index_lists_every_page(root: Path) -> None:
    listed = set(LINK.findall((root / "docs" / "README.md").read_text()))
    assert {page.name for page in (root / "docs").glob("*.md")} - {"README.md"} <= listed


def test_readme_is_short_and_soon_shows_how_a_robot_is_run(root: Path) -> None:
    lines = (root / "README.md").read_text().splitlines()
    assert len(lines) <= 130
    assert any(line.startswith("    dmh-edge run --engine") for line in lines[:60])


@pytest.mark.parametrize(
    ("name", "example"), [("own_robot.md", "cart"), ("own_task.md", "point"), ("own_simulator.md", "arm")]
)
def test_a_page_shows_every_file_of_its_example_as_it_is(root: Path, name: str, example: str) -> None:
    shown = dict(SHOWN.findall((root / "docs" / name).read_text()))
    files = {str(path.relative_to(root)): path.read_text() for path in (root / "examples" / example).glob("*.py")}
    assert shown == files
