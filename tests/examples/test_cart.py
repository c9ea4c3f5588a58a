"""examples/cart takes a robot of one's own the whole way, by the commands of docs/own_robot.md."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def walk(walk_of):
    return walk_of("cart", "own_robot.md")


@pytest.fixture(scope="module")
def said(walk) -> str:
    """What the last of the page's commands printed, when all had been called."""
    return walk.go()


def test_its_files_and_commands_take_a_robot_the_whole_way(said):
    assert "return per episode" in said


def test_its_test_passes(walk):
    assert "1 passed" in walk.call(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_cart.py")


@pytest.mark.usefixtures("said")
def test_eval_of_what_was_trained_for_it_points_to_the_robot(walk):
    command = [walk.command, "eval", walk.folder / "runs" / "cart"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "'cart', which has no simulator here" in done.stderr
