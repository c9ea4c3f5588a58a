"""docs/python.md as it stands: its blocks run one after the other, where a user has a policy in deploy/darkroom.

That policy is a small one of the same shapes. Training, exporting and evaluating take minutes: here they are called
with what the page passes them, held against their signatures, and do nothing; tests/api runs them.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

import dmh_edge

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
TINY = Path(__file__).parent / "policies" / "tiny-discrete"


def test_its_blocks_run_and_its_policy_acts_and_remembers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    policy = shutil.copytree(TINY, tmp_path / "deploy" / "darkroom")
    curve = SimpleNamespace(name="dm-h", first="0.00", last="1.00")
    found = SimpleNamespace(curves=[curve], verdict=["Memory is worth 1.00"])
    slow = {
        "train_policy": mock.create_autospec(dmh_edge.train_policy),
        "export_policy": mock.create_autospec(dmh_edge.export_policy, return_value=dmh_edge.load(policy)),
        "evaluate_policy": mock.create_autospec(dmh_edge.evaluate_policy, return_value=found),
    }
    for name, instead in slow.items():
        monkeypatch.setattr(dmh_edge, name, instead, raising=False)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    assert len(blocks) == 4
    assert all(instead.call_count == 1 for instead in slow.values())
    assert isinstance(names["returns"], np.ndarray)
    assert (tmp_path / "memory.state").exists()
    assert capsys.readouterr().out.endswith("dm-h 0.00 1.00\nMemory is worth 1.00\n")


@pytest.mark.parametrize("name", [name for name in dmh_edge.__all__ if name != "__version__"])
def test_it_names_all_that_the_package_offers(name):
    assert name in PAGE.read_text()


def test_its_tables_show_the_calls_as_they_are_declared():
    said = PAGE.read_text()
    for call, function in {
        "dmh_edge.load": dmh_edge.load,
        "policy.agent": dmh_edge.LoadedPolicy.agent,
        "agent.act": dmh_edge.PolicyAgent.act,
    }.items():
        parameters = [
            f"{one.name}={one.default!r}" if one.default is not one.empty else one.name
            for one in inspect.signature(function).parameters.values()
            if one.name != "self"
        ]
        assert f"`{call}({', '.join(parameters)})`" in said
