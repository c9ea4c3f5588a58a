"""A small policy, trained by nobody, exported once per test process."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.contract import PolicyContract
from dmh_edge.export.pipeline import draft_contract, export_policy
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.policy import Policy

POLICIES = Path(__file__).parents[1] / "policies"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_policies", POLICIES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _maker()


@pytest.fixture(scope="session", name="make")
def _make() -> ModuleType:
    """What makes small policies."""
    return make


@pytest.fixture(scope="session", params=["discrete", "continuous"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """A small policy for each kind of action."""
    made: Checkpoint = make.tiny_checkpoint(make.DISCRETE if request.param == "discrete" else make.CONTINUOUS)
    return made


@pytest.fixture
def model(checkpoint: Checkpoint) -> PolicyModel:
    """Its model."""
    return checkpoint.build()


@pytest.fixture
def contract(checkpoint: Checkpoint) -> PolicyContract:
    """What it would be exported with."""
    return draft_contract(checkpoint, Path("run"), "tiny")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a small discrete policy."""
    folder = tmp_path_factory.mktemp("run")
    make.tiny_checkpoint(make.DISCRETE).save(folder / CHECKPOINT_NAME)
    return folder


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """That run, exported with plans."""
    return export_policy(run, tmp_path_factory.mktemp("deploy") / "tiny", trt=True, targets=("sm86", "sm89"))
