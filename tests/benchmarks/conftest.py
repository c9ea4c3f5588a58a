"""Runs the benchmarks as they are started by hand, with a small policy and small numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
BENCHMARKS, PROGRAMS = ROOT / "benchmarks", Path(__file__).parent / "programs"
POLICY = ROOT / "tests" / "policies" / "tiny-discrete"


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """`start(name, *arguments, before=code)` starts a benchmark; `before` may change its numbers first."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(map(str, (BENCHMARKS, PROGRAMS, *filter(None, inherited))))
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of the test runner; an operator has none
    env = {name: value for name, value in os.environ.items() if name not in limits} | {"PYTHONPATH": path}

    def start(name: str, *arguments: object, before: str = "") -> subprocess.Popen[str]:
        # A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
        heed = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{heed}\nimport {name}\n{before}\n{name}.main()"
        command = [sys.executable, "-c", code, "--policy", str(POLICY)]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    return start


@pytest.fixture
def bench(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same, and waits for its end."""

    def bench(name: str, *arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
        with start(name, *arguments, before=before) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return bench
