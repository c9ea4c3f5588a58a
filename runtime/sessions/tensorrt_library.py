"""TensorRT under either of its Python names: the one file that knows both.

``tensorrt`` comes with JetPack or from NVIDIA; ``tensorrt_rtx`` from PyPI, and it builds without a GPU. Same interface,
but each runs only plans of its own and of the same version.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal

from dmh_edge.errors import MissingExtraError

LibraryName = Literal["tensorrt", "tensorrt_rtx"]
NAMES: tuple[LibraryName, ...] = ("tensorrt", "tensorrt_rtx")


def load(name: LibraryName | None = None) -> tuple[LibraryName, Any]:
    """Import TensorRT.

    Args:
        name: which one; None for ``tensorrt`` where it is installed, else ``tensorrt_rtx``.

    Returns:
        the name and the module.

    Raises:
        MissingExtraError: it is not installed.
    """
    for candidate in NAMES if name is None else (name,):
        if importlib.util.find_spec(candidate) is not None:
            return candidate, importlib.import_module(candidate)
    extra = "trt" if name == "tensorrt" else "trt-rtx"
    raise MissingExtraError(name or "tensorrt or tensorrt-rtx", extra, "building or running TensorRT plans")


class Log:
    """Collects what TensorRT says, so that an error can carry it.

    Attributes:
        logger: to be handed to TensorRT.
        messages: errors and worse, in order.
    """

    def __init__(self, library: Any) -> None:
        self.messages: list[str] = []
        messages = self.messages

        class Logger(library.ILogger):  # type: ignore[misc]  # the module is known at run time alone
            def __init__(self) -> None:
                library.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in {library.ILogger.Severity.ERROR, library.ILogger.Severity.INTERNAL_ERROR}:
                    messages.append(message)

        self.logger = Logger()

    def said(self) -> str:
        """All of it in one line."""
        return "; ".join(self.messages) or "it gave no reason"
