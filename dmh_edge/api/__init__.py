"""What a Python program calls: `dmh_edge` hands these names on, and docs/python.md shows them at work.

    load                  an exported policy, checked; `LoadedPolicy.agent` moves robots by it      needs no torch
    train_policy          what `dmh-edge train` does
    export_policy         what `dmh-edge export` does
    evaluate_policy       what `dmh-edge eval` measures

The functions have names of their own because `dmh_edge.train`, `dmh_edge.evaluate` and `dmh_edge.export` are modules.
Whatever is heavy is imported inside the function that needs it.
"""

from __future__ import annotations

from dmh_edge.api.commands import evaluate_policy, train_policy
from dmh_edge.api.loaded_policy import LoadedPolicy, export_policy, load
from dmh_edge.api.policy_agent import PolicyAgent

__all__ = ["LoadedPolicy", "PolicyAgent", "evaluate_policy", "export_policy", "load", "train_policy"]
