"""dmh-edge: Decision Mamba-Hybrid policies, from training to a robot.

`load` opens an exported policy, `train_policy`, `export_policy` and `evaluate_policy` do what the commands of those
names do; docs/python.md shows them. They are imported when they are first asked for: ``import dmh_edge`` alone imports
neither numpy nor torch.
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
    """What `api` calls by this name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dmh_edge import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """The public names, also those that were not asked for yet."""
    return sorted({*globals(), *__all__})
