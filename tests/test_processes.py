"""Processes beside a running policy: what they are given, what they import, and that terminals are not for them."""

from __future__ import annotations

import json
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


def listed_path(output: bytes) -> list[str]:
    """What `PATH_TELLER` printed."""
    return list(json.loads(output))


PATH_TELLER = """
import json, sys

def main():
    print(json.dumps(sys.path))
"""


def test_it_has_our_path_and_the_current_folder_only_where_that_is_on_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ``python -c`` and at the prompt, whose path begins with the current folder by the name of ''."""
    (tmp_path / "my_teller.py").write_text(PATH_TELLER)
    monkeypatch.chdir(tmp_path)
    elsewhere = [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    for path, expected in ((["", *elsewhere], [str(tmp_path), *elsewhere]), ([*elsewhere, "."],) * 2):
        monkeypatch.setattr(sys, "path", path)
        process = processes.start("my_teller", output=subprocess.PIPE)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert listed_path(said) == [str(tmp_path) if entry == "." else entry for entry in expected]


def test_a_current_folder_that_was_removed_is_no_place_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_teller.py").write_text(PATH_TELLER)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    elsewhere = [str(tmp_path), *(entry for entry in sys.path if entry)]
    monkeypatch.setattr(sys, "path", ["", *elsewhere])
    gone.rmdir()
    process = processes.start("my_teller", output=subprocess.PIPE)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert listed_path(said) == elsewhere


def test_a_name_on_the_path_that_only_a_hook_understands_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As setuptools puts one there for a package in parts that is installed to be edited."""
    (tmp_path / "my_teller.py").write_text(PATH_TELLER)
    path = [str(tmp_path), "__editable__.my_arm-1.0.finder.__path_hook__", *(entry for entry in sys.path if entry)]
    monkeypatch.setattr(sys, "path", path)
    process = processes.start("my_teller", output=subprocess.PIPE)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert listed_path(said) == path


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
    assert b"ended before it had sent what to do" in done.stderr
