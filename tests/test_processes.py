"""Processes beside a running policy: what they are given, what they import, and that terminals are not for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmh_edge import processes
from dmh_edge.errors import RobotError
from waiting import PATIENCE_S

HELPER = """
import os, sys
from dmh_edge import processes

def main():
    given = processes.received()
    sys.stdout.write(repr((given, os.getsid(0), os.getpid())))
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_helper.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_helper"


def test_it_gets_what_it_was_given_imports_what_we_can_and_has_a_session_of_its_own(helper: str) -> None:
    process = processes.start(helper, {"a": [1, 2.5]}, "b" * 100_000, output=subprocess.PIPE)
    process.stdin.close()
    said = process.stdout.read()
    processes.end(process, PATIENCE_S)
    given, session, pid = eval(said)
    assert given == ({"a": [1, 2.5]}, "b" * 100_000)
    assert session == pid == process.pid
    assert os.getsid(0) != session


def test_a_file_in_the_folder_where_the_user_stands_hides_no_module_of_ours(
    helper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "signal.py").write_text("raise SystemExit('hidden')")
    (elsewhere / "mmap.py").write_text("raise SystemExit('hidden')")
    monkeypatch.chdir(elsewhere)
    process = processes.start(helper, output=subprocess.PIPE)
    processes.end(process, PATIENCE_S)
    assert process.returncode == 0


def test_what_cannot_be_given_is_named(helper: str) -> None:
    with pytest.raises(RobotError, match="cannot be given to another process"):
        processes.start(helper, lambda: None)


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_stubborn.py").write_text(
        "import time, sys\ndef main():\n    sys.stdout.write('up')\n    sys.stdout.flush()\n    time.sleep(600)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    process = processes.start("my_stubborn", output=subprocess.PIPE)
    assert process.stdout.read(2) == b"up"
    processes.end(process, 0.1)
    assert process.returncode == -9


def test_one_whose_parent_ended_before_it_said_what_to_do_says_so() -> None:
    code = "from dmh_edge import processes; processes.received()"
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=False, timeout=PATIENCE_S)
    assert b"ended before it had said what to do" in done.stderr
