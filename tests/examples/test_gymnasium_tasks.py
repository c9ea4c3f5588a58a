"""The tasks of examples/gymnasium_tasks are made, learned from, and worth learning."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from dmh_edge.api import train_policy
from dmh_edge.data.generate import generated
from dmh_edge.evaluate import roll_out

FOLDER = Path(__file__).parents[2] / "examples" / "gymnasium_tasks"
SMALL = ("model.width=8", "model.heads=2", "training.updates=2", "data.batch=2", "data.episodes_per_context=2")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The module as it is imported where a user has trained an actor for HalfCheetah."""
    folder = tmp_path_factory.mktemp("actor")
    actor = folder / "actor.onnx"
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18]>
        actor (float[batch, 17] observation) => (float[batch, 6] action) {
            product = MatMul(observation, weight)
            action = Tanh(product)
        }
    """)
    weight = np.random.default_rng(0).normal(size=(17, 6)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(model, actor)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MuJoCo writes its warnings into the current folder
        patch.syspath_prepend(FOLDER)
        patch.setenv("HALF_CHEETAH_ACTOR", str(actor))
        yield importlib.import_module("gymnasium_tasks")
    sys.modules.pop("gymnasium_tasks", None)


@pytest.mark.parametrize("name", ["PENDULUM", "INVERTED_PENDULUM", "HALF_CHEETAH"])
def test_each_task_makes_histories_within_its_bounds_and_is_trained_on(name, module, tmp_path, monkeypatch):
    task = getattr(module, name)
    few = dataclasses.replace(task, train_ids=task.train_ids[:4], histories_per_task=1, episodes_per_history=2)
    episodes = generated(few)
    assert len(episodes.length) == 8
    low, high = (np.array([getattr(one, bound) for one in task.spec.observation]) for bound in ("low", "high"))
    assert ((episodes.observation >= low - 1e-5) & (episodes.observation <= high + 1e-5)).all()
    monkeypatch.setattr(module, "FEW", few, raising=False)
    summary = train_policy("gymnasium_tasks:FEW", tmp_path / "run", settings=[*SMALL, "data.hold_out=0"])
    assert summary.updates == 2
    assert np.isfinite(summary.loss)


@pytest.mark.parametrize("name", ["PENDULUM", "INVERTED_PENDULUM"])
def test_its_teachers_are_far_better_than_chance(name, module):
    task = getattr(module, name)
    hidden = np.array(task.test_ids[:8])
    environments = task.vector(hidden.tolist())
    advised = roll_out(environments, lambda o, _r, _s, p: task.expert(o, hidden, p), 1, 0)
    environments.action_space.seed(0)
    random = roll_out(environments, lambda *_: environments.action_space.sample(), 1, 0)
    assert (advised > random).all()
