"""Optional packages: whether they are installed, and which command installs those that are missing."""

from __future__ import annotations

import importlib.util

from dmh_edge.errors import MissingExtraError


def require(purpose: str, extra: str, *packages: str) -> None:
    """Check before the work begins that the packages of an extra are installed.

    Raises:
        MissingExtraError: a package is not installed; the message contains the command that installs it.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingExtraError(package, extra, purpose)


def is_installed(*packages: str) -> bool:
    """Return whether all of the packages can be imported; this imports none of them."""
    try:
        specs = [importlib.util.find_spec(package) for package in packages]
        return all(spec is not None and spec.origin is not None for spec in specs)  # without origin it is a mere folder
    except ModuleNotFoundError:  # e.g. for `google.protobuf` if there is no `google`
        return False
