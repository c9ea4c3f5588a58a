"""Traces: the inputs and outputs of a policy, tick by tick.

The reference writes a golden trace, and the loop writes a trace of each run. Both have the same ``.npz`` format, and
both can be replayed through any backend, because a trace also holds the policy's state before its first tick and after
its last.

    world/<name>          [T, B, ...]   what the host fed: observation, reward, previous_action, ...
    outputs/<name>        [T, B, ...]   what the policy proposed: action, logits
    initial_state/<name>                state tensors before the first tick
    final_state/<name>                  state tensors after the last
    timing/<name>         [T, ...]      runs only: slot, lateness_ns, ..., ended_ns, applied_action
    unrecorded                          number of ticks after the last one here, for which there was no room
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from dmh_edge.errors import ArtifactError
from dmh_edge.files import replacing

Arrays = Mapping[str, NDArray[Any]]
_GROUPS = ("world", "outputs", "initial_state", "final_state", "timing")
_VERSION = 1


@dataclass(frozen=True)
class Trace:
    """T ticks of B robots under one policy.

    Attributes:
        weights_sha256: digest of the policy's weights.
        world: world tensors by name, each ``[T, B, ...]``.
        outputs: outputs by name, each ``[T, B, ...]``.
        initial_state: state tensors before the first tick, by name.
        final_state: state tensors after the last tick, by name.
        timing: times of each tick by name, each ``[T, ...]``; empty for a golden trace.
        unrecorded: number of later ticks of the same run that the trace lacks. No tick is missing in between.
    """

    weights_sha256: str
    world: Arrays
    outputs: Arrays
    initial_state: Arrays
    final_state: Arrays
    timing: Arrays = field(default_factory=dict)
    unrecorded: int = 0

    @property
    def ticks(self) -> int:
        """Number of ticks T."""
        return len(self.world["observation"])

    @property
    def batch(self) -> int:
        """Number of robots B."""
        return int(self.world["observation"].shape[1])

    def save(self, path: Path) -> None:
        """Write the trace, whole or not at all.

        Raises:
            ArtifactError: the file cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "version": np.array(_VERSION),
            "weights_sha256": np.array(self.weights_sha256),
            "unrecorded": np.array(self.unrecorded),
        }
        for group in _GROUPS:
            arrays |= {f"{group}/{name}": array for name, array in getattr(self, group).items()}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read a trace.

        Raises:
            ArtifactError: the file is missing or truncated, has another version, or its columns differ in length.
        """
        groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
        try:
            # np.load itself would leave the file open when it is truncated.
            with path.open("rb") as stream, zipped_arrays(stream) as file:
                if (version := int(file["version"])) != _VERSION:
                    raise ArtifactError(f"{path}: trace version {version}, but this dmh-edge reads {_VERSION}")
                for key in file.files:
                    group, _, name = key.partition("/")
                    if name:
                        groups[group][name] = file[key]
                trace = cls(str(file["weights_sha256"]), **groups, unrecorded=int(file["unrecorded"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} is not a trace, or is truncated or altered: {error}") from error
        lengths = {len(array) for part in (trace.world, trace.outputs, trace.timing) for array in part.values()}
        if "observation" not in trace.world or len(lengths) != 1:
            raise ArtifactError(
                f"{path} is not a trace: its columns have lengths {sorted(lengths)}, expected one length"
            )
        return trace


def zipped_arrays(stream: BinaryIO) -> NpzFile[Any]:
    """The arrays of an ``.npz`` file; nothing is unpickled.

    Raises:
        ValueError, EOFError, zipfile.BadZipFile: it is not an ``.npz`` file, or is truncated.
    """
    if not zipfile.is_zipfile(stream):  # numpy's own error would be about pickles and how to trust them
        raise ValueError("it is not a zip archive")
    stream.seek(0)
    file = np.load(stream, allow_pickle=False)
    if not isinstance(file, NpzFile):
        raise ValueError("it contains a single array")
    return file
