"""The operator's keys: a real process at a pseudo-terminal of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmh_edge.runtime.operator.terminal import KEYS, Terminal
from waiting import PATIENCE_S

PROGRAM = Path(__file__).parent / "programs" / "at_terminal.py"
ASKED = "press a to arm the robot, any other key to leave"
#: A slot lasts ten seconds: whoever reacts within a fraction of it was woken up.
SLOW_HZ = 0.1
SOON_NS = 4_000_000_000


class Desk:
    """A terminal, and the program that was started from it."""

    def __init__(self, rate_hz: float, deadman_s: float = 0.0) -> None:
        self.hand, self._terminal = pty.openpty()
        self.attributes = termios.tcgetattr(self._terminal)
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(rate_hz), str(deadman_s)],
            stdin=self._terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # the program then takes the terminal for its own
        )

    def expect(self, line: str) -> None:
        assert self._process.stdout is not None
        got = self._process.stdout.readline().strip()
        assert got == line, got + self._process.communicate()[1]

    def arm(self) -> None:
        self.expect(ASKED)
        self.press(b"a")
        for line in (KEYS, "reset", "moved"):
            self.expect(line)

    def press(self, keys: bytes) -> int:
        """Hit keys; when."""
        now_ns = time.monotonic_ns()
        os.write(self.hand, keys)
        return now_ns

    def hang_up(self) -> None:
        """The terminal goes away, as a lost connection would make it."""
        os.close(self._terminal)
        os.close(self.hand)
        self.hand = self._terminal = -1

    def finish(self) -> dict[str, Any]:
        out, err = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, err
        end = json.loads(out.splitlines()[-1])
        assert end["rules"] == []
        return end

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        for file in (self.hand, self._terminal):
            if file >= 0:
                os.close(file)


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    desk = Desk(*getattr(request, "param", (SLOW_HZ,)))
    yield desk
    desk.close()


def test_a_key_arms_and_another_one_stops_in_the_middle_of_a_slot(desk):
    desk.arm()
    hit_ns = desk.press(b" ")
    end = desk.finish()
    assert (end["stopped_by"], end["detail"]) == ("operator", "key ' '")
    assert 0 < end["stopped_ns"] - hit_ns < SOON_NS
    assert end["events"][-3:] == ["operator stop", "stop asked of the robot", "stop confirmed by the robot"]


@pytest.mark.parametrize("key", [b"x", b"\n", b"e"])
def test_whoever_does_not_arm_leaves_and_nothing_has_moved(desk, key):
    desk.expect(ASKED)
    desk.press(key)
    end = desk.finish()
    assert end["stopped_by"] == "operator"
    assert "armed" not in end["events"]


def test_a_signal_is_taken_while_the_operator_is_asked(desk):
    desk.expect(ASKED)
    desk._process.send_signal(signal.SIGTERM)
    end = desk.finish()
    assert (end["detail"], "armed" in end["events"]) == ("SIGTERM", False)


def test_a_button_of_the_users_own_is_heard_while_the_operator_is_asked(desk):
    desk.expect(ASKED)
    desk._process.send_signal(signal.SIGUSR1)
    end = desk.finish()
    assert (end["detail"], "armed" in end["events"]) == ("the red button", False)


def test_what_was_typed_before_the_question_is_no_answer(desk):
    desk.press(b"a")
    desk.expect(ASKED)
    desk.press(b"x")
    end = desk.finish()
    assert (end["detail"], "armed" in end["events"]) == ("key 'x'", False)


def test_a_stop_key_right_behind_the_one_that_arms_counts(desk):
    desk.expect(ASKED)
    desk.press(b"aq")
    end = desk.finish()
    assert end["detail"] in ("key 'aq'", "key 'q'")  # whether both are read at once
    assert "armed" not in end["events"]


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        (b"\x03", "SIGINT"),  # Ctrl-C
        (b"\x1a", "key '\\x1a'"),  # Ctrl-Z
        (b"\x1c", "key '\\x1c'"),  # Ctrl-\
        (b"\x04", "key '\\x04'"),  # Ctrl-D
        (b"\x13", "key '\\x13'"),  # Ctrl-S
    ],
)
def test_what_interrupts_suspends_kills_ends_or_holds_other_programs_stops_the_robot(desk, key, detail):
    desk.arm()
    hit_ns = desk.press(key)
    end = desk.finish()
    assert (end["stopped_by"], end["detail"]) == ("operator", detail)
    assert 0 < end["stopped_ns"] - hit_ns < SOON_NS


def test_a_terminal_that_goes_away_stops_the_robot(desk):
    desk.arm()
    desk.hang_up()
    end = desk.finish()
    assert end["stopped_by"] == "operator"
    assert end["detail"] == "SIGHUP" or end["detail"].startswith("key")  # whichever is noticed first


@pytest.mark.parametrize("desk", [(50.0,)], indirect=True)
def test_e_ends_the_episode_and_enter_alone_does_nothing(desk):
    desk.arm()
    desk.press(b"\n")
    for _ in range(2):
        desk.press(b"e")
        desk.expect("reset")
        desk.expect("moved")
    desk.press(b"q")
    end = desk.finish()
    assert (end["returns"], end["events"].count("operator ended the episode")) == (2, 2)
    assert end["detail"] == "key 'q'"


@pytest.mark.parametrize("desk", [(50.0, 1.5)], indirect=True)
def test_an_operator_who_confirms_no_longer_is_absent(desk):
    desk.arm()
    for _ in range(10):  # twice the deadman's time
        hit_ns = desk.press(b"\n")
        time.sleep(0.3)
    end = desk.finish()
    assert (end["stopped_by"], end["detail"]) == ("guard", "operator absent: no confirmation for 1.5 s")
    assert end["stopped_ns"] - hit_ns >= 1_400_000_000


def test_the_terminal_is_given_back_as_it_was(desk):
    desk.arm()
    assert termios.tcgetattr(desk._terminal) != desk.attributes
    desk.press(b"x")
    desk.finish()
    assert termios.tcgetattr(desk._terminal) == desk.attributes


def test_what_is_no_terminal_is_none(tmp_path):
    with (tmp_path / "file").open("w") as stream:
        assert Terminal.of_stdin(print, stream) is None
    assert Terminal.of_stdin(print, stream) is None  # closed


def test_a_terminal_that_another_job_has_is_none():
    hand, terminal = pty.openpty()  # not the controlling terminal of this process
    with os.fdopen(terminal) as stream:
        assert Terminal.of_stdin(print, stream) is None
    os.close(hand)
