"""Plans that are built at the first start and found at the next; really built, by the TensorRT that is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dmh_edge.contract import CONTRACT_NAME
from dmh_edge.errors import ArtifactError, ExportError
from dmh_edge.export import plan_cache
from dmh_edge.export.plan_cache import cached_plan
from dmh_edge.runtime.sessions import tensorrt_library
from dmh_edge.runtime.sessions.policy import NOTE_NAME, Policy

POLICIES = Path(__file__).parents[1] / "policies"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which plans were built, in order."""
    folders: list[Path] = []
    build = plan_cache.build_plans

    def remember(policy, targets, say):  # type: ignore[no-untyped-def]
        folders.append(policy.folder)
        return build(policy, targets, say)

    monkeypatch.setattr(plan_cache, "build_plans", remember)
    return folders


def test_the_first_start_builds_and_the_second_finds(tmp_path, builds):
    said: list[str] = []
    first = cached_plan(POLICIES / "tiny-discrete", tmp_path / "cache", said.append)
    second = cached_plan(POLICIES / "tiny-discrete" / "model.onnx", tmp_path / "cache", said.append)
    assert first == second
    assert (len(builds), len(said)) == (1, 2)  # one sentence per graph
    cached = Policy.load(first.parent)
    assert cached.sha256 == Policy.load(POLICIES / "tiny-discrete").sha256
    assert cached.engines().plans.keys() == {"model.plan", "model.memory.plan"}
    assert first.name == "model.plan"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.parent.name]


def test_the_policys_own_folder_is_only_read(tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in (POLICIES / "tiny-discrete").iterdir()}
    cached_plan(POLICIES / "tiny-discrete", tmp_path, lambda _: None)
    assert {path.name: path.stat().st_mtime_ns for path in (POLICIES / "tiny-discrete").iterdir()} == before


def test_another_policy_and_another_tensorrt_have_a_folder_of_their_own(tmp_path, builds, monkeypatch):
    _, library = tensorrt_library.load()
    plans = [
        cached_plan(POLICIES / policy, tmp_path, lambda _: None) for policy in ("tiny-discrete", "tiny-continuous")
    ]
    assert all(library.__version__ in plan.parent.name for plan in plans)
    monkeypatch.setattr(library, "__version__", "99.0")
    plans.append(cached_plan(POLICIES / "tiny-discrete", tmp_path, lambda _: None))
    assert "99.0" in plans[2].parent.name
    assert len({plan.parent for plan in plans}) == len(builds) == 3


@pytest.mark.parametrize("spoilt", ["model.plan", "model.onnx", NOTE_NAME])
def test_what_was_spoilt_is_built_again(tmp_path, builds, spoilt):
    plan = cached_plan(POLICIES / "tiny-discrete", tmp_path, lambda _: None)
    (plan.parent / spoilt).write_bytes(b"spoilt")
    said: list[str] = []
    assert cached_plan(POLICIES / "tiny-discrete", tmp_path, said.append) == plan
    assert said[0].startswith("building the plans again: ")
    assert spoilt in said[0]
    assert len(builds) == 2
    Policy.load(plan.parent).engines()


def test_a_build_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):  # type: ignore[no-untyped-def]
        raise ExportError("out of memory")

    monkeypatch.setattr(plan_cache, "build_plans", fail)
    with pytest.raises(ExportError):
        cached_plan(POLICIES / "tiny-discrete", tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_was_altered_is_refused_before_anything_is_built(tmp_path, builds):
    policy = Path(shutil.copytree(POLICIES / "tiny-discrete", tmp_path / "policy"))
    (policy / "model.onnx").write_bytes(b"another")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        cached_plan(policy, tmp_path / "cache", lambda _: None)
    assert builds == []
    assert not (tmp_path / "cache").exists()


def test_run_uses_the_cache_that_the_environment_names_where_there_is_no_torch(
    tmp_path: Path, run_without_torch: Callable[..., CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMH_EDGE_PLAN_CACHE", str(tmp_path / "cache"))
    policy = str(POLICIES / "tiny-discrete")
    run = ("run", "--engine", policy, "--robot", "fake", "--ticks", "3", "--out", str(tmp_path / "out"))
    code = "from dmh_edge.cli import main; main()"
    done = run_without_torch(code, *run)
    (folder,) = (tmp_path / "cache").iterdir()
    assert (folder / CONTRACT_NAME).exists()
    assert "building model.plan" in done.stderr
    # Whether the plan then runs is a matter of the GPU; --backend ort-cpu goes without.
    assert (done.returncode == 0) == (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert run_without_torch(code, *run, "--backend", "ort-cpu").returncode == 0
    assert not (tmp_path / "cache").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
