"""TensorRT under either of its Python names: the only file that knows both.

``tensorrt`` comes with JetPack or from NVIDIA; ``tensorrt_rtx`` comes from PyPI, and can build plans without a GPU.
Both have the same interface, but each runs only plans that it built itself in the same version.
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
        name: name of the library; None for ``tensorrt`` where it is installed, else ``tensorrt_rtx``.

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
    """Collects the error messages of TensorRT, so that an exception can contain them.

    Attributes:
        logger: logger to pass to TensorRT.
        messages: messages of errors and internal errors, in order.
    """

    def __init__(self, library: Any) -> None:
        self.messages: list[str] = []
        messages = self.messages

        class Logger(library.ILogger):  # type: ignore[misc]  # the module is known only at run time
            def __init__(self) -> None:
                library.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in {library.ILogger.Severity.ERROR, library.ILogger.Severity.INTERNAL_ERROR}:
                    messages.append(message)

        self.logger = Logger()

    def said(self) -> str:
        """All messages in one line."""
        return "; ".join(self.messages) or "it gave no reason"
