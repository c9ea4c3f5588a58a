"""A task as arrays: bounds, names, the safe action, and which observations measure the action."""

from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.task import (
    ContinuousAction,
    DiscreteAction,
    Element,
    Reward,
    TaskSpec,
    bounds_of,
    measuring_elements,
    names_of,
    safe_action,
)

ANGLES = (
    Element(name="shoulder", low=-2, high=3, unit="rad"),
    Element(name="elbow", low=0, high=1.5, unit="rad"),
    Element(name="load", low=0.1, high=0.3, unit="kg"),
)


def task_with(action: ContinuousAction | DiscreteAction) -> TaskSpec:
    return TaskSpec(
        name="arm",
        observation=ANGLES,
        action=action,
        reward=Reward(meaning="", low=0, high=1),
        rate_hz=50,
        horizon=10,
        target_return=1,
    )


def moved(measured_as: tuple[str, ...] = ()) -> TaskSpec:
    """Shoulder and elbow, moved to targets."""
    return task_with(ContinuousAction(elements=ANGLES[:2], mode="position", safe=(0.25, 0.5), measured_as=measured_as))


CHOSEN = task_with(DiscreteAction(names=("left", "stay"), safe=1))


def test_bounds_and_names_keep_the_order_of_the_elements():
    bounds = bounds_of(ANGLES)
    assert (bounds.low.tolist(), bounds.high.tolist()) == ([-2, 0, 0.1], [3, 1.5, 0.3])
    assert bounds.span == pytest.approx([5, 1.5, 0.2])
    assert names_of(ANGLES) == ("shoulder", "elbow", "load")


def test_bounds_come_in_double_precision_unless_another_one_is_asked_for():
    assert {bound.dtype for bound in bounds_of(ANGLES)} == {np.dtype(np.float64)}
    assert {bound.dtype for bound in bounds_of(ANGLES, np.float32)} == {np.dtype(np.float32)}


def test_the_safe_action_has_the_shape_and_type_that_a_robot_takes():
    several, one = safe_action(moved()), safe_action(CHOSEN)
    assert (several.tolist(), several.dtype) == ([0.25, 0.5], np.float32)
    assert (one.tolist(), one.shape, one.dtype) == (1, (), np.int64)
    several[0] = 2
    assert safe_action(moved()).tolist() == [0.25, 0.5]  # each caller has an array of its own


def test_the_elements_that_measure_the_action_come_in_the_order_of_the_action():
    assert measuring_elements(moved(("elbow", "shoulder"))).tolist() == [1, 0]
    for task in (moved(), CHOSEN):
        assert measuring_elements(task).tolist() == []
