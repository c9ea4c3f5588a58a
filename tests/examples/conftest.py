"""An example as its page has it: its files in a folder of their own, and the page's commands called there in order."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("dmh-edge"))
#: Enough for every command to run; nothing is learned. An export takes most of the time of a walk; a graph with one
#: layer has every kind of node that a graph with more has.
TINY = (
    "--set training.updates=2 --set training.device=cpu --set data.batch=2 --set data.episodes_per_context=2 "
    "--set model.width=8 --set model.subgoal_size=4 --set model.memory_layers=1 --set model.state_size=2"
)
#: The same for a policy that learns from its own steps.
TINY_ROUNDS = " --set on_policy.contexts=4 --set on_policy.short_episodes=0 --set on_policy.reuse=1"
#: A run goes on at the rate of its task; the second episode begins after the first, as every later one does.
FEW = "--episodes 2"


@dataclass(frozen=True)
class Walk:
    """An example in a folder.

    Attributes:
        folder: where the user stands.
        page: the page that explains the example.
        command: dmh-edge as it is installed here.
        python: the interpreter that it is installed in.
    """

    folder: Path
    page: Path
    command: str = COMMAND
    python: str = sys.executable

    @classmethod
    def of(cls, example: str, page: str, folder: Path) -> Walk:
        """Copy an example's files into a folder."""
        for path in (ROOT / "examples" / example).glob("*.py"):
            shutil.copy(path, folder)
        return cls(folder, ROOT / "docs" / page)

    def call(self, *command: str) -> str:
        """Call a command that must succeed; what it printed."""
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def go(self, *steps: str) -> str:
        """Call all commands of the page, which are these; what they printed."""
        lines = re.findall(r"^    ((?:python|dmh-edge) .*)$", self.page.read_text(), re.MULTILINE)
        assert tuple(line.split()[1] for line in lines) == (steps or ("record.py", "train", "export", "run"))
        out = ""
        for line in lines:
            short = re.sub(r"--episodes \d+", FEW, re.sub(r"--set training.updates=\d+", TINY, line))
            if "on_policy=true" in short:
                short += TINY_ROUNDS
            if short.split()[1] in ("ceiling", "eval"):
                short += f" {FEW} --seeds 1"
            program, *arguments = shlex.split(short)
            out += self.call(self.command if program == "dmh-edge" else sys.executable, *arguments)
        return out


@pytest.fixture(scope="module")
def walk_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Walk]:
    """Make a walk of an example and its page, in a folder of its own."""
    return lambda example, page: Walk.of(example, page, tmp_path_factory.mktemp(example))
