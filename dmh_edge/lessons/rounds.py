"""A round on disk: what was played, in one npz file that a checkpoint names by its digest."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import ArtifactError
from dmh_edge.files import named_faults, write_bytes
from dmh_edge.task import TaskSpec


@dataclass(frozen=True)
class PlayedRound:
    """What was played in a round.

    Attributes:
        episodes: the episodes, context after context; ``history`` is the number of the context.
        led: number of episodes at the beginning of each context in which the policy did not act itself, ``[N]``.
    """

    episodes: Episodes
    led: NDArray[np.int64]

    @property
    def returns(self) -> tuple[float, ...]:
        """Mean return of each episode of the contexts in which only the policy acted; empty if there are none."""
        by_context = self.episodes.returns.reshape(len(self.led), -1)[self.led == 0]
        return tuple(by_context.mean(0).tolist()) if len(by_context) else ()

    def save(self, path: Path) -> str:
        """Write the round, whole or not at all, and return the SHA-256 digest of the file.

        Raises:
            ArtifactError: the file cannot be written.
        """
        arrays = {name: getattr(self.episodes, name) for name in _COLUMNS}
        content = io.BytesIO()
        np.savez(content, led=self.led, **arrays)
        write_bytes(path, content.getvalue())
        return hashlib.sha256(content.getvalue()).hexdigest()

    @classmethod
    def load(cls, path: Path, digest: str, spec: TaskSpec) -> PlayedRound:
        """Read a round of a task.

        Raises:
            ArtifactError: the file is missing, or its digest is another one.
        """
        with named_faults(path):
            content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactError(f"{path} was altered: its digest differs; restore it from a copy, or train again")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(Episodes(spec=spec, **{name: arrays[name] for name in _COLUMNS}), arrays["led"])


_COLUMNS = tuple(field.name for field in fields(Episodes) if field.name != "spec")


def joined(rounds: list[PlayedRound]) -> Episodes:
    """Return the episodes of all rounds; ``history`` numbers their contexts one after the other."""
    parts = [one.episodes for one in rounds]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    before = np.cumsum([0, *(len(one.led) for one in rounds[:-1])])
    columns["history"] += np.repeat(before, [len(part.history) for part in parts])
    return Episodes(spec=parts[0].spec, **columns)
