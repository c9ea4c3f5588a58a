"""Finding a task by its name."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.tasks import TASKS, find
from dmh_edge.tasks.family import AllBut, Task, phase_of


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
        "dark-camera",
        "dark-slide",
    ]
    for name, task in TASKS.items():
        assert find(name) is task
        assert find(task.spec.name) is task


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_no_hidden_task_that_is_drawn_to_learn_from_is_held_out_or_excluded(task: Task) -> None:
    held_out = () if task.spec.name == TASKS["tmaze"].spec.name else task.test_ids  # a maze is tested on what it learns
    without = task.draw(np.random.default_rng(1), 40) if len(task.train_ids) > 40 else task.train_ids[:1]
    for seed in range(3):
        assert not np.isin(task.draw(np.random.default_rng(seed), 2000), held_out).any()
        drawn = task.draw(np.random.default_rng(seed), 2000, without)
        assert not np.isin(drawn, [*held_out, *without]).any()
        assert (drawn.dtype, drawn.shape) == (np.int64, (2000,))
    task.vector(drawn[:8].tolist())  # refuses numbers of nothing


def test_excluding_all_that_there_is_to_learn_from_is_refused() -> None:
    task = find("darkroom")
    with pytest.raises(ConfigError, match="task 'darkroom': all 65 hidden tasks to learn from are excluded"):
        task.draw(np.random.default_rng(0), 1, task.train_ids)


def test_a_pool_of_all_but_some_holds_every_other_number_once() -> None:
    pool = AllBut(10, [3, 4, 0, 9])
    assert list(pool) == [1, 2, 5, 6, 7, 8]
    assert (len(pool), pool[-1], pool[1:3]) == (6, 8, [2, 5])
    with pytest.raises(IndexError):
        pool[6]
    task = find("key-to-door")
    assert set(task.pool) == set(range(6480)) - set(task.test_ids)


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
    with pytest.raises(ConfigError, match=f"unknown task '{wrong}' .did you mean '{nearest}'.*known: dark-camera, "):
        find(wrong)


def test_environments_that_tell_no_phase_are_in_the_first() -> None:
    assert phase_of({"hidden": np.ones(3)}, 3).tolist() == [0, 0, 0]
    assert phase_of({"phase": np.array([2, 1])}, 2).tolist() == [2, 1]
