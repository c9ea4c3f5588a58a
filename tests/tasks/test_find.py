"""Finding a task by its name."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.tasks import TASKS, find
from dmh_edge.tasks.family import phase_of


def test_every_task_is_found_by_its_name() -> None:
    assert list(TASKS) == [
        "darkroom",
        "darkroom-hard",
        "darkroom-dynamic",
        "key-to-door",
        "large-darkroom",
        "large-darkroom-hard",
        "large-darkroom-dynamic",
        "large-key-to-door",
        "tmaze",
        "dark-reacher",
        "dark-payload",
    ]
    for name, task in TASKS.items():
        assert find(name) is task
        assert find(task.spec.name) is task


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("darkrom", "darkroom"),
        ("large-key-door", "large-key-to-door"),
        ("darkpayload", "dark-payload"),
        ("tmaze1000", "tmaze"),
        ("tmaze-L", "tmaze-<L>"),
    ],
)
def test_an_unknown_task_is_an_error_that_names_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown task '{wrong}' .did you mean '{nearest}'.*known: dark-payload, "):
        find(wrong)


def test_environments_that_tell_no_phase_are_in_the_first() -> None:
    assert phase_of({"hidden": np.ones(3)}, 3).tolist() == [0, 0, 0]
    assert phase_of({"phase": np.array([2, 1])}, 2).tolist() == [2, 1]
