from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import replay
from dmh_edge.runtime.sessions.state_file import check_state, load_state, save_state


@pytest.fixture
def session(policy: Policy, open_session: Callable[[int], OrtSession]) -> OrtSession:
    """One that has learned something."""
    session = open_session(1)
    replay(policy.golden_trace(), session, ticks=20)
    return session


@pytest.fixture
def path(tmp_path: Path, session: OrtSession) -> Path:
    path = tmp_path / "learned.npz"
    save_state(path, session, "policy")
    return path


def test_what_was_learned_survives_a_restart(path: Path, session: OrtSession, policy: Policy) -> None:
    restarted = OrtSession(policy)
    load_state(path, restarted, "policy")
    for name, array in session.state().items():
        np.testing.assert_array_equal(restarted.state()[name], array, err_msg=name)


def test_what_another_policy_learned_is_refused(path: Path, session: OrtSession) -> None:
    with pytest.raises(ContractError, match="was learned by another policy"):
        load_state(path, session, "another policy")
    with pytest.raises(ContractError, match="was learned by another policy"):
        check_state(path, "another policy")
    check_state(path, "policy")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(path: Path, session: OrtSession, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    before = session.state()
    with pytest.raises(ArtifactError, match="not a saved state, or is truncated or altered"):
        load_state(path, session, "policy")
    np.testing.assert_array_equal(session.state()["memory_ssm"], before["memory_ssm"])


def test_a_missing_file_is_refused(tmp_path: Path, session: OrtSession) -> None:
    with pytest.raises(ArtifactError, match="not a saved state"):
        load_state(tmp_path / "nothing.npz", session, "policy")


def test_numbers_that_are_not_finite_are_refused(path: Path, session: OrtSession) -> None:
    with np.load(path) as file:
        content = dict(file)
    content["memory_ssm"][0, 0, 0, 0] = np.inf
    np.savez(path, **content)
    with pytest.raises(ArtifactError, match="not finite"):
        load_state(path, session, "policy")
