"""A skipped test fails the run, unless it is marked gpu."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    """Run a file of tests under a copy of our conftest on a machine without CUDA; the exit status and the output."""

    def run(code: str, *options: str) -> tuple[int, str]:
        shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
        with (tmp_path / "conftest.py").open("a") as conftest:
            conftest.write("\n\ndef cuda_devices():\n    return 0\n")
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a CUDA device\naddopts = -ra\n")
        (tmp_path / "test_it.py").write_text(f"import pytest\n\n{code}")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout

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
    assert "only tests marked gpu may" in output
    assert "too slow" in output


def test_a_gpu_test_is_skipped_aloud_where_there_is_no_device(run_pytest):
    status, output = run_pytest("@pytest.mark.gpu\ndef test_it(): assert False\n\ndef test_other(): pass")
    assert status == 0
    assert "SKIPPED" in output
    assert "no CUDA device on this machine" in output


def test_an_expected_failure_is_no_skip(run_pytest):
    status, output = run_pytest("@pytest.mark.xfail(strict=True)\ndef test_it(): assert False")
    assert (status, "1 xfailed" in output) == (0, True)
