"""The exceptions of dmh-edge.

    DmhEdgeError
    ├── ConfigError          a setting or argument that cannot be used
    ├── MissingExtraError    an optional package is not installed
    ├── DataError            a data set that cannot be used for training
    ├── ArtifactError        a file of dmh-edge is missing, truncated or altered, or cannot be written
    │   └── ContractError    model.json is malformed, of another version, or does not fit its counterpart
    ├── ExportError          a model cannot be exported, or an engine cannot be built
    │   └── ParityError      an exported graph does not compute what the model computes
    ├── BackendError         an engine cannot be loaded or run here
    └── RobotError           a robot cannot be reached, fails, or refuses a call

A message says what is wrong, what was found, what was expected and what to do. The command line prints the message and
exits with 1. Anything that is not a ``DmhEdgeError`` is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DmhEdgeError(Exception):
    """Any failure that dmh-edge foresees."""


class ConfigError(DmhEdgeError):
    """A setting or argument that cannot be used."""


class MissingExtraError(DmhEdgeError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs {package}, which is not installed: pip install ".[{extra}]" in the source of dmh-edge'
        )
        self._arguments = package, extra, purpose

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Pickle the arguments, so that the error arrives complete from a worker process."""
        return MissingExtraError, self._arguments


class DataError(DmhEdgeError):
    """A data set that cannot be used for training."""


class ArtifactError(DmhEdgeError):
    """A file of dmh-edge is missing, truncated or altered, or cannot be written."""


class ContractError(ArtifactError):
    """The contract is malformed, of another version, or does not fit its counterpart."""


class ExportError(DmhEdgeError):
    """A model cannot be exported, or an engine cannot be built."""


class ParityError(ExportError):
    """An exported graph does not compute what the model computes."""


class BackendError(DmhEdgeError):
    """An engine cannot be loaded or run here."""


class RobotError(DmhEdgeError):
    """A robot cannot be reached, fails, or refuses a call."""


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """The sentence for an unknown name; it contains the nearest known name and lists all known names."""
    names = sorted(known)
    nearest = difflib.get_close_matches(got, names, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"unknown {kind} {got!r}{hint}; known: {', '.join(names)}"
