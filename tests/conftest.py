"""What holds for every test: what a skip means, when a GPU is there, and how to run a program without torch."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Generator

import pytest

NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is blocked in this test", name="torch")

sys.meta_path.insert(0, NoTorch())
"""


def cuda_devices() -> int:
    """How many CUDA devices the driver reports; asked of the driver itself, as torch may be absent."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and cuda_devices() == 0:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test is a failed one, unless it is marked `gpu`: nobody reads a list of skips."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("gpu"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and only tests marked gpu may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself, as `pytest.importorskip` does."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped itself, and only tests marked gpu may: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def run_without_torch() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a process of its own where importing torch fails.

    `run_without_torch(code, *argv)` gives the finished process with its output as text; `argv` becomes `sys.argv[1:]`.
    """

    def run(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", NO_TORCH + code, *argv]
        wide = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}  # so that tables and messages are not broken up
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=wide)

    return run
