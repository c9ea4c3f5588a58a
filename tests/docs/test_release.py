"""What a release consists of agrees: version, changelog, citation, the map of the code, the checks before a commit."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from dmh_edge import __version__


def citation(root: Path) -> dict[str, object]:
    return yaml.safe_load((root / "CITATION.cff").read_text())


def test_the_citation_is_of_this_version(root: Path) -> None:
    assert citation(root)["version"] == __version__


def test_the_citation_names_software_licence_and_paper(root: Path) -> None:
    cited = citation(root)
    assert (cited["cff-version"], cited["type"], cited["license"]) == ("1.2.0", "software", "Apache-2.0")
    assert {"message", "title", "authors"} <= set(cited)
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert [one["value"] for one in paper["identifiers"]] == ["arXiv:2406.00079"]


def test_the_changelog_begins_with_this_version(root: Path) -> None:
    versions = re.findall(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(version for version in versions if version != "Unreleased") == __version__


def test_every_path_in_the_map_of_the_code_exists(root: Path) -> None:
    rows = re.findall(r"^\| (?!to change|-).*$", (root / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    for row in rows:
        change, *cells = (cell for cell in row.strip("| ").split(" | "))
        paths = [path for cell in cells for path in re.findall(r"`(\w+/[\w/.]*)`", cell)]
        assert len(paths) >= 2, change
        for path in paths:
            assert (root / path).exists(), f"{change}: {path}"
        for folder, name in re.findall(r"`(\w+/[\w/]*)` \(`(\w+\.py)`", row):
            assert (root / folder / name).exists(), f"{change}: {folder}{name}"


def test_the_checks_before_a_commit_are_those_of_make_lint(root: Path) -> None:
    (local,) = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE)[1]
    assert [hook["entry"] for hook in local["hooks"]] == re.findall(r"^\t\$\(VENV\)/bin/(.*)$", lint, re.MULTILINE)
