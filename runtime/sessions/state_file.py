"""What a policy learned in context, as a file: its state, bound to the policy by hash.

Loading it lets a restarted process go on where the one before stopped; no other policy accepts it. The reward of the
last action comes after the policy's last step: it is kept beside the state, for the first step to come.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.files import replacing
from dmh_edge.runtime.sessions.buffered import all_finite
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import zipped_arrays

_KEY = "policy_sha256"
_REWARD = "reward_due"


def save_state(path: Path, session: Session, policy_sha256: str, reward_due: float = 0.0) -> None:
    """Write the session's committed state, whole or not at all.

    Args:
        path: where.
        session: whose.
        policy_sha256: identity of the policy.
        reward_due: rewards that the policy has not been told yet.

    Raises:
        ArtifactError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        beside = {_KEY: np.array(policy_sha256), _REWARD: np.array(reward_due)}
        np.savez(file, allow_pickle=False, **beside, **session.state())


def load_state(path: Path, session: Session, policy_sha256: str) -> float:
    """Give the session a saved state; nothing changes unless all of it is good.

    Returns:
        rewards that the policy has not been told yet; they belong to its next step.

    Raises:
        ArtifactError: the file is missing, truncated, altered, or holds numbers that are not finite.
        ContractError: it belongs to another policy, or to another number of robots.
    """
    state = _of_policy(path, policy_sha256)
    if not all_finite(state.values()):
        raise ArtifactError(f"{path} holds numbers that are not finite; remove it to start with an empty memory")
    reward_due = float(state.pop(_REWARD))
    session.restore(state)
    return reward_due


def check_state(path: Path, policy_sha256: str) -> None:
    """Refuse to replace what is not this policy's.

    Raises:
        ArtifactError: the file is no saved state, or is truncated or altered.
        ContractError: it belongs to another policy.
    """
    _of_policy(path, policy_sha256)


def _of_policy(path: Path, policy_sha256: str) -> dict[str, NDArray[Any]]:
    """Everything in the file but its owner, who is this policy."""
    try:
        with path.open("rb") as stream, zipped_arrays(stream) as file:
            state = {name: file[name] for name in file.files}
            owner = str(state.pop(_KEY))
            float(state[_REWARD])
    except Exception as error:  # whatever a foreign file does to numpy, zipfile or a decompressor
        raise ArtifactError(
            f"{path} is no saved state, or is truncated or altered: {error}; remove it, or name another --state file"
        ) from error
    if owner != policy_sha256:
        raise ContractError(
            f"{path} was learned by another policy ({owner[:12]}..., this one is {policy_sha256[:12]}...); "
            "name another --state file, or remove this one to start with an empty memory"
        )
    return state
