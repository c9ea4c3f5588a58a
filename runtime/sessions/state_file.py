"""The file with what a policy learned in context on its robots: its state, bound to the policy by hash.

A restarted process that loads it goes on where the process before stopped. Another policy refuses it, and so does a
session with another number of robots. The reward of the last action comes after the policy's last step: the loop, which
drives one robot, stores this reward with the state, for the next step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ArtifactError, ConfigError, ContractError
from dmh_edge.files import replacing, require_writable
from dmh_edge.runtime.sessions.buffered import all_finite
from dmh_edge.runtime.sessions.schedule import TICKS
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.trace import zipped_arrays

_KEY = "policy_sha256"
_REWARD = "reward_due"


@dataclass(frozen=True)
class Learned:
    """The file with what a policy learned in context: a run begins with it, and writes it at the end.

    Attributes:
        path: path of the file, read if it exists, written at the end; None to begin with an empty memory and to keep
            nothing.
        forget: whether to begin with an empty memory although the file exists.
    """

    path: Path | None = None
    forget: bool = False

    def check(self, policy_sha256: str, *, kept: bool) -> str:
        """Refuse a file that cannot be used.

        Args:
            policy_sha256: identity of the policy.
            kept: whether the file will be written at the end.

        Returns:
            what the run begins with, as a sentence; empty where no file is named.

        Raises:
            ConfigError: there is nothing to forget.
            ArtifactError: the file to replace is not a saved state, or its folder cannot be written.
            ContractError: it belongs to another policy.
        """
        if self.path is None:
            if self.forget:
                raise ConfigError(
                    "--forget without --state: there is nothing to forget, every run begins with an empty memory"
                )
            return ""
        if not self.path.exists():
            begin = f"{self.path} does not exist yet: the policy begins with an empty memory"
        elif self.forget:
            check_state(self.path, policy_sha256)
            then = "will be replaced" if kept else "is left as it is"
            begin = f"{self.path} {then}: the policy begins with an empty memory"
        else:
            begin = f"the policy begins with what it learned in {self.path}{'' if kept else ', which is left as it is'}"
        require_writable(self.path.absolute().parent)
        return begin

    def recall(self, session: Session, policy_sha256: str) -> float:
        """Restore in the session what was learned before, if there is anything; see `load_state`."""
        if self.path is None or self.forget or not self.path.exists():
            return 0.0
        return load_state(self.path, session, policy_sha256)


def save_state(path: Path, session: Session, policy_sha256: str, reward_due: float = 0.0) -> None:
    """Write the session's committed state, whole or not at all.

    Args:
        path: the file; an older one is replaced.
        session: the session whose state is written.
        policy_sha256: identity of the policy.
        reward_due: sum of the rewards that the policy has not received yet.

    Raises:
        ArtifactError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        beside = {_KEY: np.array(policy_sha256), _REWARD: np.array(reward_due)}
        np.savez(file, allow_pickle=False, **beside, **session.state())


def load_state(path: Path, session: Session, policy_sha256: str) -> float:
    """Restore a saved state in the session; nothing changes unless the whole file is good.

    Returns:
        the sum of the rewards that the policy has not received yet; they belong to its next step.

    Raises:
        ArtifactError: the file is missing, truncated or altered, or contains numbers that are not finite.
        ContractError: it belongs to another policy, or to another number of robots.
    """
    state = _of_policy(path, policy_sha256)
    if not all_finite(state.values()):
        raise ArtifactError(f"{path} contains numbers that are not finite; remove it to start with an empty memory")
    if (robots := state[TICKS].size if TICKS in state else 0) != session.batch:
        raise ContractError(
            f"{path} contains what {robots} robots learned, expected {session.batch}; name another file"
        )
    reward_due = float(state.pop(_REWARD))
    session.restore(state)
    return reward_due


def check_state(path: Path, policy_sha256: str) -> None:
    """Refuse to replace a file that does not belong to this policy.

    Raises:
        ArtifactError: the file is not a saved state, or is truncated or altered.
        ContractError: it belongs to another policy.
    """
    _of_policy(path, policy_sha256)


def _of_policy(path: Path, policy_sha256: str) -> dict[str, NDArray[Any]]:
    """Read the file and check that it belongs to this policy; return everything in it but the policy's identity."""
    try:
        with path.open("rb") as stream, zipped_arrays(stream) as file:
            state = {name: file[name] for name in file.files}
            owner = str(state.pop(_KEY))
            float(state[_REWARD])
    except Exception as error:  # any error that numpy, zipfile or a decompressor raises for a foreign file
        raise ArtifactError(
            f"{path} is not a saved state, or is truncated or altered: {error}; remove it, or name another file"
        ) from error
    if owner != policy_sha256:
        raise ContractError(
            f"{path} was learned by another policy ({owner[:12]}..., this one is {policy_sha256[:12]}...); "
            "name another file, or remove this one to start with an empty memory"
        )
    return state
