"""A user's own modules, found in a folder that Python does not search. They come after every other, and hide none.

At the end of ``sys.path`` the folder would still hide packages without an ``__init__.py``, as ``google`` is one, and
modules of other systems that a library asks for in vain, such as ``msvcrt``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class _LastFinder:
    """Finds what no other finder has found; see `importlib.abc.MetaPathFinder`.

    Args:
        folder: absolute.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module of that name in the folder; None for what belongs into a package, or comes with Python."""
        if path is not None or name in sys.stdlib_module_names:
            return None
        return PathFinder.find_spec(name, [self.folder], target)


def look_in(folder: Path | str) -> None:
    """Find a user's modules in a folder from now on. Calling it again for the same folder changes nothing."""
    absolute = str(Path(folder).absolute())
    if absolute not in folders():
        sys.meta_path.append(_LastFinder(absolute))


def folders() -> list[str]:
    """The folders of the user that this process looks in, in their order."""
    return [finder.folder for finder in sys.meta_path if isinstance(finder, _LastFinder)]
