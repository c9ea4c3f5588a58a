from __future__ import annotations

import pytest

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.errors import ConfigError
from dmh_edge.presets import load
from dmh_edge.studies.engines import moved

SMALL = ("model.width=8", "model.layers=1", "model.state_size=2")


def test_a_state_of_one_size_moves_to_another_length_and_nowhere_else() -> None:
    checkpoint = Checkpoint.untrained(load("tmaze-20", "dm", settings=SMALL).model, tasks.find("tmaze-20").spec)
    longer = moved(checkpoint, tasks.find("tmaze-50").spec)
    assert longer.header.task.horizon == 51
    assert longer.weights_sha256 == checkpoint.weights_sha256
    for elsewhere in ("darkroom", "dark-reacher"):
        with pytest.raises(ConfigError, match=f"another model on {elsewhere}"):
            moved(checkpoint, tasks.find(elsewhere).spec)


def test_rooms_of_another_size_are_not_taken_for_the_same() -> None:
    checkpoint = Checkpoint.untrained(load("darkroom", "dm", settings=SMALL).model, tasks.find("darkroom").spec)
    for elsewhere in ("large-darkroom", "darkroom-dynamic"):
        with pytest.raises(ConfigError, match="what it observes or does"):
            moved(checkpoint, tasks.find(elsewhere).spec)
