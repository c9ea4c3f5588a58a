"""Darkroom, the first room of `gridworld`, as a module of its own: examples and tests use this task."""

from __future__ import annotations

from dmh_edge.tasks import gridworld

TASK = gridworld.TASKS[0]
SPEC, TRAIN_IDS, TEST_IDS, expert = TASK.spec, TASK.train_ids, TASK.test_ids, TASK.expert
