"""docs/own_robot.md as it stands: its files are written where a user stands, and its commands run there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "own_robot.md"
COMMAND = str(Path(sys.executable).with_name("dmh-edge"))
#: Enough to go the whole way with, and nothing is learned.
TINY = "--set training.updates=2 --set model.width=8 --set model.subgoal_size=4 --set training.device=cpu"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user stands, with the page's files in it."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / name).write_text(text)
    return folder


def call(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the last of the page's commands printed, when all had been called."""
    commands = re.findall(r"^    ((?:python|dmh-edge) .*)$", PAGE.read_text(), re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["record.py", "train", "export", "run"]
    for command in commands:
        program, *arguments = shlex.split(re.sub(r"--set training.updates=\d+", TINY, command))
        out = call(folder, COMMAND if program == "dmh-edge" else sys.executable, *arguments)
    return out


def test_its_files_and_commands_take_a_robot_the_whole_way(said: str) -> None:
    assert "return per episode" in said


def test_its_test_passes(folder: Path) -> None:
    assert "1 passed" in call(folder, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_cart.py")


@pytest.mark.usefixtures("said")
def test_eval_of_what_was_trained_for_it_points_to_the_robot(folder: Path) -> None:
    done = subprocess.run([COMMAND, "eval", folder / "runs" / "cart"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "'cart', which has no simulator here" in done.stderr
