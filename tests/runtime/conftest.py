"""The committed policies, as paths and as sessions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy

POLICIES = Path(__file__).parents[1] / "policies"
NAMES = ("tiny-discrete", "tiny-continuous")


@pytest.fixture(params=NAMES)
def policy(request: pytest.FixtureRequest) -> Policy:
    """Each committed policy."""
    return Policy.load(POLICIES / request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of one policy that a test may spoil."""
    return Path(shutil.copytree(POLICIES / NAMES[0], tmp_path / "policy"))


@pytest.fixture
def open_session(policy: Policy) -> Callable[[int], OrtSession]:
    """Opens the policy on ONNX Runtime for a number of robots."""
    return lambda batch: OrtSession(policy, batch)
