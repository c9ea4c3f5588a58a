"""A small Darkroom data set, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generate
from dmh_edge.tasks import find


@pytest.fixture(scope="session")
def darkroom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """65 hidden tasks, one history of 4 episodes each."""
    folder = tmp_path_factory.mktemp("data") / "darkroom-v0"
    generate(find("darkroom"), folder, 1, 4, seed=0)
    return folder


@pytest.fixture(scope="session")
def darkroom_episodes(darkroom_data: Path) -> Episodes:
    """The same, read."""
    return Episodes.load(darkroom_data)
