from __future__ import annotations

import pytest

from dmh_edge.errors import ConfigError, ContractError, RobotError
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.runtime.loop.preflight import check_fit
from dmh_edge.task import DiscreteAction, Element

SHOULDER, ELBOW = TWO_JOINTS.observation


class Stepped(FakeRobot):
    lockstep = True


def with_action(**changes):
    return TWO_JOINTS.model_copy(update={"action": TWO_JOINTS.action.model_copy(update=changes)})


def with_first_action(**changes):
    first, second = TWO_JOINTS.action.elements
    return with_action(elements=(first.model_copy(update=changes), second))


def test_the_robot_that_the_policy_was_made_for_passes():
    check_fit(FakeRobot(), TWO_JOINTS, 50.0)


def test_what_the_policy_alone_decides_may_differ():
    other = TWO_JOINTS.model_copy(update={"horizon": 7, "target_return": 1.0, "max_hold_s": 0.5})
    check_fit(FakeRobot(other), TWO_JOINTS, 50.0)


@pytest.mark.parametrize(
    ("task", "differences"),
    [
        (
            TWO_JOINTS.model_copy(update={"observation": (ELBOW, SHOULDER)}),
            [
                r"observation 0 \(shoulder_angle\): name is 'elbow_angle' for the robot, 'shoulder_angle' for the",
                r"observation 1 \(elbow_angle\): name is 'shoulder_angle'",
            ],
        ),
        (
            TWO_JOINTS.model_copy(update={"observation": (SHOULDER.model_copy(update={"unit": "deg"}), ELBOW)}),
            [r"unit is 'deg' for the robot, 'rad' for the policy"],
        ),
        (
            TWO_JOINTS.model_copy(update={"observation": (SHOULDER,)}),
            ["observation 1: only the policy has an element here"],
        ),
        (
            TWO_JOINTS.model_copy(update={"observation": (SHOULDER, ELBOW, Element(name="wrist", low=0, high=1))}),
            ["observation 2: only the robot has an element here, 'wrist'"],
        ),
        (with_first_action(high=2.0), [r"action 0 \(shoulder_velocity\): high is 2.0 for the robot, 1.0"]),
        (with_first_action(slew_per_s=None), ["slew_per_s is None for the robot, 10.0"]),
        (with_action(mode="effort"), ["action: mode is 'effort' for the robot, 'velocity'"]),
        (with_action(damping=(1.0, 1.0)), ["action: damping is"]),
        (
            TWO_JOINTS.model_copy(update={"action": DiscreteAction(names=("a", "b"), safe=0)}),
            ["action: the robot's is DiscreteAction, the policy's ContinuousAction"],
        ),
        (
            TWO_JOINTS.model_copy(update={"reward": TWO_JOINTS.reward.model_copy(update={"high": 2.0})}),
            ["reward: high is 2.0 for the robot, 1.0 for the policy"],
        ),
        (TWO_JOINTS.model_copy(update={"name": "other"}), ["task: the robot's is 'other', the policy's"]),
        (TWO_JOINTS.model_copy(update={"rate_hz": 30.0}), ["rate: the robot's is 30 Hz, the policy's 50 Hz"]),
    ],
)
def test_another_robot_is_refused_element_by_element(task, differences):
    with pytest.raises(ContractError) as caught:
        check_fit(FakeRobot(task), TWO_JOINTS, 50.0)
    assert len(str(caught.value).splitlines()) == 1 + len(differences)
    for difference in differences:
        assert caught.match(difference)


def test_a_robot_that_does_not_say_what_it_is_is_refused():
    robot = FakeRobot()
    robot.task = {"name": "two-joints"}
    with pytest.raises(RobotError, match=r"the robot's task is dict .*, expected a TaskSpec"):
        check_fit(robot, TWO_JOINTS, 50.0)


def test_a_robot_in_real_time_is_run_at_the_policys_rate_only():
    with pytest.raises(ConfigError, match="got 40 Hz, expected 50 Hz"):
        check_fit(FakeRobot(), TWO_JOINTS, 40.0)
    check_fit(Stepped(), TWO_JOINTS, 40.0)


def test_a_robot_that_would_stop_between_two_slots_is_refused():
    with pytest.raises(RobotError, match=r"stops after 0.02 s without an action, but a control period is 0.02 s"):
        check_fit(FakeRobot(command_timeout_s=0.02), TWO_JOINTS, 50.0)
