"""examples/arm takes a simulator of one's own the whole way, by the commands of its README."""

from __future__ import annotations

import json

import pytest

#: Runs in the example's folder.
ADVISED = """
from arm_driver import Arm
from arm_task import TASK
from dmh_edge.evaluate import roll_out
from dmh_edge.robots.contract_test import check_robot
from dmh_edge.robot_arena import robot_arena

check_robot(Arm)
robots = robot_arena("arm_driver:Arm", TASK.spec, {}, ["target=80:84"])
own = TASK.vector([80, 81, 82, 83])
hidden = __import__("numpy").arange(80, 84)
print(roll_out(robots.environments, lambda o, _r, _s, p: robots.expert(o, p), 1, 0).ravel().tolist())
print(roll_out(own, lambda o, _r, _s, p: TASK.expert(o, hidden, p), 1, 0).ravel().tolist())
own.action_space.seed(0)
print(roll_out(own, lambda *_: own.action_space.sample(), 1, 0).ravel().tolist())
"""


@pytest.fixture(scope="module")
def walk(walk_of):
    return walk_of("arm", "../examples/arm/README.md")


def test_its_files_and_commands_take_a_simulator_the_whole_way(walk):
    said = walk.go("ceiling", "train", "eval", "export", "eval", "run")
    assert "arm on ort-cpu at 50 Hz" in said
    assert "return per episode" in said
    assert (walk.folder / "runs" / "arm" / "evaluation.png").exists()
    on_robots = json.loads((walk.folder / "deploy" / "arm" / "evaluation.json").read_text())
    assert [curve["name"] for curve in on_robots["curves"]][2:] == ["expert", "random"]


def test_its_robot_keeps_the_protocol_and_its_teacher_earns_there_what_it_earns_in_the_task(walk):
    robots, own, random = map(json.loads, walk.call(walk.python, "-c", ADVISED).splitlines())
    assert robots == pytest.approx(own, rel=1e-5)
    assert all(taught > moved + 5 for taught, moved in zip(own, random, strict=True))
