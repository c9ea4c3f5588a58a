"""The pages: README, CONTRIBUTING, CHANGELOG, everything in docs/ but the pages that studies write."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `page` is run for each."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def root() -> Path:
    return ROOT
