"""What holds for every test: what a skip means, what a machine may lack, and how to run a program without torch."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator

import pytest

from dmh_edge import user_modules
from waiting import PATIENCE_S

NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is blocked in this test", name="torch")

sys.meta_path.insert(0, NoTorch())
"""


def has_cuda_device() -> bool:
    """Whether the driver reports one; asked of the driver itself, as torch may be absent."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def find_chromium() -> str | None:
    """The path of a browser that can show a page without a screen."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def has_chromium() -> bool:
    """Whether this machine has one."""
    return find_chromium() is not None


def may_have_realtime_priority() -> bool:
    """Whether this user may; the priority is taken for a moment, and new threads would not inherit it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(8))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


#: For each mark: whether the machine has what its tests need, and what the summary says where it has not.
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "gpu": (has_cuda_device, "no CUDA device on this machine"),
    "browser": (has_chromium, "no Chromium on this machine; .ci/run installs one"),
    "realtime": (may_have_realtime_priority, "this user may not have real-time priority: ulimit -r"),
}
#: An environment variable that names marks, with spaces between: their tests run whatever the machine has, and fail
#: where it lacks what they need. It is set where a test that did not run would go unnoticed, as in .ci/run.
REQUIRED = "DMH_EDGE_REQUIRED_TESTS"
ALLOWED = f"only tests marked {', '.join(NEEDS)} may be, where {REQUIRED} does not name their mark"


def required() -> set[str]:
    """The marks whose tests must run."""
    marks = set(os.environ.get(REQUIRED, "").split())
    if unknown := marks - set(NEEDS):
        raise pytest.UsageError(f"{REQUIRED}: got {' '.join(sorted(unknown))}, expected some of {' '.join(NEEDS)}")
    return marks


def pytest_configure() -> None:
    """Take Ctrl-C and Ctrl-\\ also in a run that a shell has started in the background.

    Such a run ignores them, and so would every process that a test starts and then ends by one of them.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need what this machine lacks are skipped, unless they are required."""
    for mark in set(NEEDS) - required():
        is_there, reason = NEEDS[mark]
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and not is_there():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"not run: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test is a failed one, unless a mark says what the machine lacks: lists of skips are not read."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        needs = {mark.name for mark in item.iter_markers()} & set(NEEDS)
        if not needs or needs & required():
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, and {ALLOWED}: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself, as `pytest.importorskip` does."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped itself, and {ALLOWED}: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser; a test that asks for it is marked `browser`."""
    program = find_chromium()
    assert program is not None, f"{REQUIRED} asks for the tests of the browser, and there is no Chromium"
    return program


@pytest.fixture(scope="session")
def run_without_torch() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a process of its own where importing torch fails.

    `run_without_torch(code, *argv)` gives the finished process with its output as text; `argv` becomes `sys.argv[1:]`.
    """

    def run(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", NO_TORCH + code, *argv]
        wide = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}  # so that tables and messages are not broken up
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=wide)

    return run


@pytest.fixture(autouse=True)
def _users_folders_are_forgotten() -> Generator[None]:
    """A test that looks for a user's module adds its folder to the path of this process, where others would find it."""
    path, folders = sys.path.copy(), user_modules.folders()
    yield
    if user_modules.folders() != folders:
        sys.path[:] = path
        user_modules._installed().folders[:] = folders
