"""Optional packages: whether they are installed, and which command brings those that are not."""

from __future__ import annotations

import importlib.util

from dmh_edge.errors import MissingExtraError


def require(purpose: str, extra: str, *packages: str) -> None:
    """Ask for an extra's packages before the work begins.

    Raises:
        MissingExtraError: a package is not installed; the message says which command brings it.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingExtraError(package, extra, purpose)


def is_installed(*packages: str) -> bool:
    """Whether all of the packages can be imported; this imports none of them."""
    try:
        return all(importlib.util.find_spec(package) is not None for package in packages)
    except ModuleNotFoundError:  # of `google.protobuf`, where there is not even a `google`
        return False
