"""What an install takes, measured on the environment of the tests, which stands in for a fresh one."""

from __future__ import annotations

import re

import pytest

#: Installing takes minutes and a network. The sizes are those of a small folder, the runs are real.
INSTALLED = """
import live_run
from pathlib import Path
footprint.install = lambda python, folder: Path("python")
footprint.command_line = lambda python: live_run.HERE
footprint.site_packages = lambda python: Path({folder!r})
footprint.LIMITS = {limits!r}
"""
SHORT = ("--starts", 2, "--seconds", 1)
WIDE = {"site-packages": 3.0, "resident": 1000.0, "first action": 60.0}


@pytest.fixture
def packages(tmp_path):
    for name, size in (
        ("big/__init__.py", 1_000_000),
        ("big/__pycache__/__init__.cpython-313.pyc", 500_000),
        ("big-1.0.dist-info/RECORD", 200_000),
        ("module.py", 100_000),
        ("pip/__init__.py", 7_000_000),
        ("pip-26.0.dist-info/RECORD", 7_000_000),
    ):
        path = tmp_path / "site-packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    return str(tmp_path / "site-packages")


def test_sizes_memory_and_starts_are_told_and_held_against_their_limits(bench, packages):
    done = bench("footprint", *SHORT, before=INSTALLED.format(folder=packages, limits=WIDE))
    assert done.returncode == 0, done.stdout + done.stderr
    for row in (r"big +│ +1\.2 ", r"module\.py +│ +0\.1 ", r"without bytecode +│ +1\.3 ", r"with bytecode +│ +1\.8 "):
        assert re.search(row, done.stdout), done.stdout
    assert "pip" not in done.stdout
    assert len(re.findall(r"first action: (\d\.\d\d), (\d\.\d\d), (\d\.\d\d) s", done.stdout)) == 1
    for realtime in ("off", "try"):
        resident, most = re.findall(rf"--realtime {realtime}: (\S+) MB resident, (\S+) MB at most", done.stdout)[0]
        assert 30 < float(resident) <= float(most) < 1000
    assert "MISSED" not in done.stdout


def test_a_limit_that_is_missed_is_told_and_is_exit_code_1(bench, packages):
    before = INSTALLED.format(folder=packages, limits=dict.fromkeys(WIDE, 0.01))
    done = bench("footprint", "--starts", 1, "--seconds", 0, before=before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall(r"^(.*): \S+ \S+, at most 0\.01: MISSED$", done.stdout, re.MULTILINE) == list(WIDE)


def test_an_install_that_fails_says_why(bench):
    done = bench("footprint", "--python", "python0.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "python0.0" in done.stdout
