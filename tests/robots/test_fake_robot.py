from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.clock import FakeClock
from dmh_edge.errors import RobotError
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.task import ContinuousAction, DiscreteAction, Element

MS = 1_000_000
GRID = TWO_JOINTS.model_copy(
    update={
        "observation": tuple(Element(name=axis, low=0, high=8, levels=9) for axis in "xy"),
        "action": DiscreteAction(names=("right", "left", "up", "down", "stay"), safe=4),
    }
)


TARGETS = TWO_JOINTS.model_copy(
    update={
        "action": ContinuousAction(
            elements=tuple(
                Element(name=name, low=-2, high=2, unit="rad", slew_per_s=50) for name in ("elbow", "shoulder")
            ),
            mode="position",
            safe=(0.5, 0.5),
            measured_as=("elbow_angle", "shoulder_angle"),
        )
    }
)


@pytest.mark.parametrize("task", [TWO_JOINTS, GRID, TARGETS], ids=["continuous", "discrete", "targets"])
def test_it_keeps_the_contract(task):
    check_robot(lambda: FakeRobot(task))


def ready(**options) -> tuple[FakeRobot, FakeClock]:
    clock = FakeClock(10**9)
    robot = FakeRobot(clock=clock, **options)
    robot.connect()
    robot.arm()
    robot.reset()
    return robot, clock


def test_it_moves_while_the_clock_runs_at_the_speed_it_was_told():
    robot, clock = ready()
    robot.write(np.array([1.0, -0.5], np.float32))
    clock.advance_ns(50 * MS)
    assert robot.read().observation == pytest.approx([0.05, -0.025])


def test_it_stops_by_itself_when_nobody_tells_it_anything():
    robot, clock = ready(command_timeout_s=0.1)
    robot.write(np.array([1.0, 0.0], np.float32))
    clock.advance_ns(700 * MS)
    assert robot.read().observation == pytest.approx([0.1, 0.0])
    assert [violation.rule for violation in robot.monitor.violations] == ["too fast", "silence"]


def test_it_stands_still_after_stop():
    robot, clock = ready()
    robot.write(np.array([1.0, 1.0], np.float32))
    robot.stop()
    clock.advance_ns(50 * MS)
    assert robot.read().observation.tolist() == [0.0, 0.0]


def test_it_pays_more_the_nearer_it_is_to_what_it_hides():
    robot, clock = ready(seed=3)
    rewards = []
    for _ in range(20):
        robot.write(np.sign(robot._hidden - robot._pose).astype(np.float32))
        clock.advance_ns(20 * MS)
        rewards.append(robot.read().reward)
    assert rewards == sorted(rewards)
    assert 0 <= rewards[0] < rewards[-1] <= 1


def test_the_seed_alone_says_what_it_hides():
    assert np.array_equal(FakeRobot(seed=5)._hidden, FakeRobot(seed=5)._hidden)
    assert not np.array_equal(FakeRobot(seed=5)._hidden, FakeRobot(seed=6)._hidden)


def test_choices_move_one_element_up_or_down():
    robot, clock = ready(task=GRID)
    robot.write(np.array(3))
    clock.advance_ns(100 * MS)
    assert robot.read().observation.tolist() == [4.0, 4.0]
    assert robot._pose == pytest.approx([4.0, 3.8])


def test_what_measures_a_target_moves_to_it_and_stays_there():
    robot, clock = ready(task=TARGETS, command_timeout_s=9)
    robot.write(np.array([0.2, -0.5], np.float32))
    clock.advance_ns(100 * MS)
    assert robot.read().observation == pytest.approx([-0.1, 0.1])  # a radian per second, whatever is wished
    clock.advance_ns(900 * MS)
    assert robot.read().observation == pytest.approx([-0.5, 0.2])
    assert robot.monitor.violations == []  # it was reset to 0, not to its safe action


def test_a_target_is_forgotten_when_it_brakes():
    robot, clock = ready(task=TARGETS, command_timeout_s=9)
    robot.write(np.array([0.5, 0.5], np.float32))
    clock.advance_ns(100 * MS)
    robot.damp()
    clock.advance_ns(100 * MS)
    assert robot.read().observation == pytest.approx([0.1, 0.1])


def test_it_brakes_and_takes_the_next_action():
    robot, clock = ready()
    robot.write(np.array([0.2, 0.2], np.float32))
    clock.advance_ns(20 * MS)
    robot.damp()
    clock.advance_ns(20 * MS)
    assert robot.read().observation == pytest.approx([0.004, 0.004])
    robot.write(np.array([0.2, 0.2], np.float32))
    assert robot.monitor.violations == []


def test_the_monitor_sees_what_the_robot_refuses():
    robot = FakeRobot()
    with pytest.raises(RobotError, match="not armed"):
        robot.write(np.zeros(2, np.float32))
    assert [violation.rule for violation in robot.monitor.violations] == ["before arm"]
