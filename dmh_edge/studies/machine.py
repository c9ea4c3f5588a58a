"""The machine that computed a figure: processor, cores and GPU, and the software's versions. No names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

import torch

from dmh_edge.version import __version__


def machine() -> str:
    """Processor, number of cores that this process can use, and GPU, in words."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    processor = found[1] if found else platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor}, {cores()} cores, {gpu}"


def cores() -> int:
    """Number of cores that this process can use."""
    return len(os.sched_getaffinity(0))


def versions() -> str:
    """Versions of this package, Python and the engines."""
    engines = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "onnxruntime"))
    return f"dmh-edge {__version__}, Python {platform.python_version()}, {engines}"
