"""Darkroom, the smallest of the rooms of `gridworld`, under a name of its own: it is the task of examples and tests."""

from __future__ import annotations

from dmh_edge.tasks import gridworld

TASK = gridworld.TASKS[0]
SPEC, TRAIN_IDS, TEST_IDS, expert = TASK.spec, TASK.train_ids, TASK.test_ids, TASK.expert
