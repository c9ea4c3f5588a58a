"""Training, exporting and evaluating from a program, on a small Darkroom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmh_edge
from dmh_edge.errors import ConfigError
from dmh_edge.export import pipeline
from dmh_edge.runtime.sessions.policy import Policy

TINY = Path(__file__).parents[1] / "policies" / "tiny-discrete"

SMALL = {
    "model": {"width": 8, "heads": 2, "subgoal_size": 4, "state_size": 4, "memory_layers": 1, "actor_layers": 1},
    "data": {"batch": 4, "episodes_per_context": 2, "hold_out": 3},
    "training": {"warm_up": 1, "log_every": 1, "checkpoint_every": 2, "device": "cpu"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run, and what was said of it."""
    folder = tmp_path_factory.mktemp("learning")
    (folder / "small.json").write_text(json.dumps(SMALL))
    settings = ["training.updates=3", "model.width=16"]
    summary = dmh_edge.train_policy("darkroom", folder / "run", config=folder / "small.json", settings=settings)
    return folder / "run", summary


def test_a_policy_is_trained_with_the_settings_of_the_file_and_of_the_call(run):
    folder, summary = run
    used = json.loads((folder / "config.json").read_text())
    assert (used["model"]["width"], used["model"]["heads"], used["training"]["updates"]) == (16, 2, 3)
    assert (summary.first, summary.updates) == (0, 3)
    again = dmh_edge.train_policy("darkroom", str(folder), config=folder / "config.json", resume=True)
    assert (again.first, again.updates) == (3, 3)


def test_an_exported_policy_moves_robots_at_once(monkeypatch, tmp_path):
    """The export itself, which takes long, is tested in tests/export, and by the command in tests/cli."""
    exported: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pipeline, "export_policy", lambda *given: exported.append(given) or Policy.load(TINY))
    policy = dmh_edge.export_policy("run", str(tmp_path), "float16", True, ["sm89"], say=print)
    assert exported[0][:6] == (Path("run"), tmp_path, "float16", True, ("sm89",), print)
    assert policy == dmh_edge.load(TINY)
    with policy.agent(robots=2) as agent:
        assert agent.act(np.ones((2, 2)), np.zeros(2), np.ones(2, bool)).shape == (2,)


def test_a_run_is_evaluated_on_the_hidden_tasks_that_are_asked_for(run):
    told: list[tuple[str, int, int]] = []
    found = dmh_edge.evaluate_policy(run[0], 1, 1, "validation", progress=lambda *one: told.append(one))
    assert (found.task, found.backend, len(found.hidden), found.seeds) == ("darkroom", "torch", 3, [0])
    assert [curve.name for curve in found.curves] == ["dm-h", "memory zeroed at each episode", "expert", "random"]
    assert ("dm-h", 1, 1) in told


def test_what_cannot_be_evaluated_is_named(run, tmp_path):
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        dmh_edge.evaluate_policy(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="got 0 episodes and 3 seeds, expected at least one of each"):
        dmh_edge.evaluate_policy(run[0], episodes=0)
