"""The page of a run as Chromium shows it: drawn, coloured, and asking for nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from dmh_edge.clock import NS_PER_S, FakeClock
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import PAGE_NAME, Keeping
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from waiting import PATIENCE_S

pytestmark = pytest.mark.browser

_WIDTH, _HEIGHT = 820, 2400
BLUE, RED = (0x3B, 0x6F, 0xB6), (0xB3, 0x26, 0x1E)


Show = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def show(chromium: str, tmp_path: Path) -> Show:
    """Chromium without a screen, called with the arguments that it is given."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    common = [chromium, "--headless", "--disable-gpu", profile, "--enable-logging=stderr", *sandbox]

    def show(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*common, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=True)

    return show


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run on a fake clock, in a folder with an odd name."""
    out, clock = tmp_path_factory.mktemp("a run") / "of <today>", FakeClock(NS_PER_S)
    run = Run(limits=Limits(ticks=300), timing=Timing(clock=clock), keeping=Keeping(out), noise_seed=1)
    operate(FakePolicy("a" * 64), FakeSession(fake_contract(TWO_JOINTS)), FakeRobot(clock=clock), run)
    return out / PAGE_NAME


def is_near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture[..., :3].astype(int) - colour).max(-1) < 12


def test_chromium_draws_every_chart_and_has_nothing_to_complain_of(show, run_page, tmp_path):
    picture_file = tmp_path / "page.png"
    done = show(f"--window-size={_WIDTH},{_HEIGHT}", f"--screenshot={picture_file}", run_page.as_uri())
    assert "CONSOLE" not in done.stderr  # scripts, styles or pictures that were refused, or could not be found
    picture = (255 * imread(picture_file)).astype(np.uint8)
    assert picture.shape[:2] == (_HEIGHT, _WIDTH)
    rows = np.flatnonzero(is_near(picture, BLUE).sum(1) > 2)
    drawn = 1 + int((np.diff(rows) > 40).sum())  # charts stand further apart than lines within one
    assert drawn >= 5
    assert is_near(picture, RED).sum() > 300  # the limits


def test_chromium_finds_the_elements_that_were_written(show, run_page):
    shown = show("--dump-dom", run_page.as_uri()).stdout
    for tag in ("<svg", "<rect", "<polygon", "<polyline", "<td"):
        assert shown.count(tag) == run_page.read_text().count(tag) > 0
