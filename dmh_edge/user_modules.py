"""A user's own modules, found in a folder at the end of Python's path. They hide no other module.

The end of ``sys.path`` alone does not ensure that. A file there hides a package without an ``__init__.py``, such as
``google``, and a package that another finder knows. It also takes the place of a module of another operating system
that a library tries to import, such as ``msvcrt``. So a finder of our own searches everywhere else first.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from dmh_edge.errors import ConfigError, unknown


class _ElsewhereFirst:
    """Finds every module that lies elsewhere than in the users' folders; see `importlib.abc.MetaPathFinder`.

    Attributes:
        folders: absolute paths of the users' folders, in the order of the search.
    """

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module elsewhere.

        Returns:
            the module's spec; None for a module of a package, and for a module that only a user's folder can hold.

        Raises:
            ModuleNotFoundError: the name belongs to Python, and this Python does not have the module.
        """
        if path is not None:
            return None
        elsewhere = [entry for entry in sys.path if entry not in self.folders]
        found = PathFinder.find_spec(name, elsewhere, target)
        for finder in sys.meta_path:
            if found is None and finder is not self and finder is not PathFinder:
                found = finder.find_spec(name, None, target)
        if found is None and name in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found


def look_in(folder: Path | str) -> None:
    """Search a folder for a user's modules from now on. A folder that is on Python's path already changes nothing."""
    absolute = str(Path(folder).absolute())
    if absolute in sys.path:
        return
    finder = _installed()
    if finder is None:
        finder = _ElsewhereFirst()
        sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    finder.folders.append(absolute)
    sys.path.append(absolute)


def find(name: str, what: str, example: str) -> Any:
    """Return what ``package.module:NAME`` names; the current folder is searched too.

    Args:
        name: module and name, with a colon between them.
        what: what an error calls the thing, e.g. ``robot``.
        example: a correct name, for the error.

    Raises:
        ConfigError: the name has another form, the module cannot be imported, or it has no such name. If the module
            itself fails, the message says in which file and line.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"{what} {name!r}: expected package.module:NAME, e.g. {example}")
    look_in(Path.cwd())
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what} {name}: the module {module!r} cannot be imported: {error}") from error
    except Exception as error:  # whatever a user's module raises
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{what} {name}: the module {module!r} cannot be imported: {at.filename}, line {at.lineno}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not hasattr(loaded, attribute):
        raise ConfigError(
            f"{what} {name}: {unknown('name', attribute, [one for one in vars(loaded) if one[0] != '_'])}"
        )
    return getattr(loaded, attribute)


def folders() -> list[str]:
    """The folders in which this process searches for a user's modules, in the order of the search."""
    finder = _installed()
    return [] if finder is None else list(finder.folders)


def _installed() -> _ElsewhereFirst | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, _ElsewhereFirst)), None)
