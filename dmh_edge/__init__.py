"""dmh-edge: Decision Mamba-Hybrid policies, from training to a robot.

`load` opens an exported policy. `train_policy`, `export_policy` and `evaluate_policy` do the same as the commands
`dmh-edge train`, `export` and `eval`. docs/python.md shows how to use them. They are imported at first use, so that
``import dmh_edge`` alone imports neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmh_edge.version import __version__

if TYPE_CHECKING:
    from dmh_edge.api import LoadedPolicy, PolicyAgent, evaluate_policy, export_policy, load, train_policy

__all__ = [
    "LoadedPolicy",
    "PolicyAgent",
    "__version__",
    "evaluate_policy",
    "export_policy",
    "load",
    "train_policy",
]


def __getattr__(name: str) -> object:
    """Return the object with this name from `api`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dmh_edge import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """Return the names of the module, including public names that are not imported yet."""
    return sorted({*globals(), *__all__})
