"""The committed policies, and what three robots show."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dmh_edge

POLICIES = Path(__file__).parents[1] / "policies"
NAMES = ("tiny-discrete", "tiny-continuous")


@pytest.fixture(params=NAMES)
def policy(request: pytest.FixtureRequest) -> dmh_edge.LoadedPolicy:
    """Each committed policy."""
    return dmh_edge.load(POLICIES / request.param)


@pytest.fixture
def discrete() -> dmh_edge.LoadedPolicy:
    """The one that chooses among three actions."""
    return dmh_edge.load(POLICIES / "tiny-discrete")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a policy that a test may spoil."""
    return Path(shutil.copytree(POLICIES / "tiny-discrete", tmp_path / "policy"))


Shown = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


@pytest.fixture
def shown(policy: dmh_edge.LoadedPolicy) -> list[Shown]:
    """Observations, rewards and starts of three robots over 30 ticks, whose episodes are out of phase."""
    random = np.random.default_rng(1)
    size = len(policy.contract.task.observation)
    ticks = [(random.normal(size=(3, size)), random.normal(size=3), random.random(3) < 0.2) for _ in range(30)]
    ticks[0][2][:] = True
    return ticks
