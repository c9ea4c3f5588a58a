"""A user's own modules, found in a folder that Python does not search. They are searched last, so they hide no others.

At the end of ``sys.path`` the folder would still hide packages without an ``__init__.py``, such as ``google``, and
modules of other operating systems that a library tries to import, such as ``msvcrt``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class _LastFinder:
    """Finds modules that no other finder has found; see `importlib.abc.MetaPathFinder`.

    Args:
        folder: absolute path of the folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module of that name in the folder; None for a module that belongs to a package or comes with Python."""
        if path is not None or name in sys.stdlib_module_names:
            return None
        return PathFinder.find_spec(name, [self.folder], target)


def look_in(folder: Path | str) -> None:
    """Search a folder for a user's modules from now on. Another call with the same folder changes nothing."""
    absolute = str(Path(folder).absolute())
    if absolute not in folders():
        sys.meta_path.append(_LastFinder(absolute))


def folders() -> list[str]:
    """The folders in which this process searches for a user's modules, in the order of the search."""
    return [finder.folder for finder in sys.meta_path if isinstance(finder, _LastFinder)]
