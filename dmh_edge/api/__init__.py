"""The functions for Python programs: `dmh_edge` exports these names, and docs/python.md shows how to use them.

    load                  loads and checks an exported policy; its `LoadedPolicy.agent` moves robots; needs no torch
    train_policy          does the same as `dmh-edge train`
    export_policy         does the same as `dmh-edge export`
    evaluate_policy       measures the same as `dmh-edge eval`

Three names end in ``_policy`` because `dmh_edge.train`, `dmh_edge.evaluate` and `dmh_edge.export` are modules. Heavy
packages are imported inside the functions that need them.
"""

from __future__ import annotations

from dmh_edge.api.commands import evaluate_policy, train_policy
from dmh_edge.api.loaded_policy import LoadedPolicy, export_policy, load
from dmh_edge.api.policy_agent import PolicyAgent

__all__ = ["LoadedPolicy", "PolicyAgent", "evaluate_policy", "export_policy", "load", "train_policy"]
