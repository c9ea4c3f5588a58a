"""Callbacks that report how far a piece of work is, and what is being done; the work itself shows nothing."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of a piece of work, how much of it is done, and how much there is in all.
Progress = Callable[[str, int, int], None]
#: Called with a sentence that says what is being done.
Say = Callable[[str], None]


def silent(name: str, done: int, total: int) -> None:
    """Show nothing: a `Progress` for callers who want none."""


def quiet(message: str) -> None:
    """Say nothing: a `Say` for callers who want no messages."""
