"""Who is told how far a piece of work is, and what is being done; the work itself shows nothing."""

from __future__ import annotations

from collections.abc import Callable

#: Told the name of a piece of work, how much of it is done, and how much there is in all.
Progress = Callable[[str, int, int], None]
#: Told, in a sentence, what is being done.
Say = Callable[[str], None]


def silent(name: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


def quiet(message: str) -> None:
    """A `Say` that says nothing."""
