"""A skipped test fails the run, unless a mark says what it needs and the machine lacks that."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import PATIENCE_S

HELPERS = Path(__file__).with_name("helpers")
MARKS = ("gpu", "browser", "realtime")

SKIPPING = """
@pytest.mark.skip(reason="too slow")
def test_by_mark(): pass

def test_inside(): pytest.skip("too slow")

@pytest.fixture
def it(): pytest.skip("too slow")

def test_in_a_fixture(it): pass
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run a file of tests under a copy of our conftest on a bare machine; the exit status and the output."""

    def run(code: str, *options: str, required: str = "") -> tuple[int, str]:
        shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
        with (tmp_path / "conftest.py").open("a") as conftest:
            conftest.write(
                "\n\nNEEDS = {mark: (lambda: False, reason) for mark, (_, reason) in NEEDS.items()}"
                "\n\ndef find_chromium():\n    return None\n"
            )
        lines = ("[pytest]", f"pythonpath = {HELPERS}", "markers =", *(f"    {mark}: it" for mark in MARKS))
        (tmp_path / "pytest.ini").write_text("\n".join((*lines, "addopts = -ra --strict-markers")))
        (tmp_path / "test_it.py").write_text(f"import pytest\n\n{code}")
        env = os.environ | {"DMH_EDGE_REQUIRED_TESTS": required, "COLUMNS": "400"}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=env
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_skip_fails_the_run_and_says_why(run_pytest, workers):
    status, output = run_pytest(SKIPPING, "-n", workers)
    assert status != 0
    assert "1 failed, 2 errors" in output  # two of them skip before they start
    assert output.count("too slow") >= 3


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_file_that_skips_itself_fails_the_run(run_pytest, workers):
    status, output = run_pytest("pytest.skip('too slow', allow_module_level=True)", "-n", workers)
    assert status != 0
    assert "only tests marked gpu, browser, realtime may be" in output
    assert "too slow" in output


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("gpu", "no CUDA device on this machine"),
        ("browser", "no Chromium on this machine; .ci/run installs one"),
        ("realtime", "this user may not have real-time priority"),
    ],
)
def test_what_the_machine_lacks_is_not_run_and_the_summary_says_why(run_pytest, mark, reason):
    status, output = run_pytest(f"@pytest.mark.{mark}\ndef test_it(): assert False\n\ndef test_other(): pass")
    assert (status, "1 passed, 1 skipped" in output) == (0, True)
    assert f"SKIPPED [1] test_it.py:3: not run: {reason}" in output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_required_runs_on_every_machine_and_fails_without_what_it_needs(run_pytest, workers):
    code = """
@pytest.mark.browser
def test_it(chromium): pass

@pytest.mark.browser
def test_inside(): pytest.skip("too slow")

@pytest.mark.gpu
def test_other(): pass
"""
    status, output = run_pytest(code, "-n", workers, required="browser realtime")
    assert status != 0
    assert "1 failed, 1 skipped, 1 error" in output
    assert "there is no Chromium" in output
    assert "test_inside was skipped" in output


def test_a_mark_that_is_required_and_unknown_fails_the_run(run_pytest):
    status, output = run_pytest("def test_it(): pass", required="browsers")
    assert status != 0
    assert "got browsers, expected some of gpu browser realtime" in output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_processes_of_a_run_in_the_background_take_ctrl_c(run_pytest, workers):
    code = """
import signal, subprocess, sys

def test_it():
    code = "import signal; assert signal.SIG_IGN not in (signal.getsignal(2), signal.getsignal(3))"
    subprocess.run([sys.executable, "-c", code], check=True)
"""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        status, output = run_pytest(code, "-n", workers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert status == 0, output


def test_an_expected_failure_is_no_skip(run_pytest):
    status, output = run_pytest("@pytest.mark.xfail(strict=True)\ndef test_it(): assert False")
    assert (status, "1 xfailed" in output) == (0, True)
