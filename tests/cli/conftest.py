"""The commands as a user calls them, and what they made on a small Darkroom, once for all files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from dmh_edge import cli

SMALL = {
    "model": {"width": 8, "heads": 2, "subgoal_size": 4, "state_size": 4, "memory_layers": 1, "actor_layers": 1},
    "data": {"batch": 4, "episodes_per_context": 2, "hold_out": 3},
    "training": {"warm_up": 1, "log_every": 1, "checkpoint_every": 2, "device": "cpu"},
}


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture(scope="session")
def dmh_edge() -> Command:
    """Run a command as the installed script does, on one thread."""

    def call(*arguments: Any) -> Done:
        out, err = io.StringIO(), io.StringIO()
        argv = mock.patch.object(sys, "argv", ["dmh-edge", *map(str, arguments)])
        code, threads = 0, torch.get_num_threads()
        torch.set_num_threads(1)
        with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as left:
                code = int(left.code or 0)
            finally:
                torch.set_num_threads(threads)
        return Done(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def well(dmh_edge: Command) -> Command:
    """Run a command that must succeed."""

    def call(*arguments: Any) -> Done:
        done = dmh_edge(*arguments)
        assert done.code == 0, done.err
        return done

    return call


@pytest.fixture(scope="session")
def refused(dmh_edge: Command) -> Callable[..., str]:
    """The one sentence of a command that must fail as was foreseen."""

    def call(*arguments: Any) -> str:
        done = dmh_edge(*arguments)
        assert done.code == 1, (done.code, done.err)
        *before, last = done.err.splitlines()
        assert last.startswith("error: ")
        assert not any("Traceback" in line or line.startswith("error") for line in before)
        return last

    return call


@pytest.fixture(scope="session")
def altered() -> Callable[[Path], None]:
    """Change one bit in the middle of a file."""

    def alter(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return alter


@pytest.fixture(scope="session")
def data(well: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "darkroom"
    done = well("data", "darkroom", "--out", folder, "--histories", 1, "--episodes", 2, "--seed", 3)
    assert done.err == f"wrote {folder}\n"
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "small.json"
    file.write_text(json.dumps(SMALL))
    return file


@pytest.fixture(scope="session")
def run(well: Command, data: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "darkroom"
    well("train", "darkroom", "--data", data, "--out", out, "--config", small, "--set", "training.updates=4")
    return out


@pytest.fixture(scope="session")
def deployed(well: Command, run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A policy with plans for one kind of GPU, which this machine need not have."""
    out = tmp_path_factory.mktemp("deploy") / "darkroom"
    return out, well("export", run, "--trt", "--trt-target", "sm86", "--out", out)


@pytest.fixture(scope="session")
def policy(deployed: tuple[Path, Done]) -> Path:
    return deployed[0]


@pytest.fixture
def copy(policy: Path, tmp_path: Path) -> Path:
    """A policy that a test may spoil."""
    return Path(shutil.copytree(policy, tmp_path / "policy"))
