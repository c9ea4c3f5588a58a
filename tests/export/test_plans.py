from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dmh_edge.errors import ArtifactError, BackendError, ConfigError, ExportError
from dmh_edge.export import plans
from dmh_edge.files import sha256
from dmh_edge.runtime.sessions.engine import open_session
from dmh_edge.runtime.sessions.policy import Policy

POLICIES = Path(__file__).parents[1] / "policies"


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """A policy without plans, in a folder that a test may spoil."""
    return Policy.load(Path(shutil.copytree(POLICIES / "tiny-discrete", tmp_path / "policy")))


def test_both_plans_are_really_built_and_the_note_tells_all_of_them(policy: Policy) -> None:
    note = plans.build_plans(policy, ("sm89",))
    assert note == policy.engines()
    assert note.builder in {"tensorrt", "tensorrt_rtx"}
    assert note.targets == ("sm89",)
    assert note.batch_profile == (1, 1, 16)
    assert note.precision == "float32"
    for graph in policy.contract.model.graphs:
        assert note.plans[graph.engine_file] == sha256(policy.folder / graph.engine_file)
        assert note.onnx[graph.file] == sha256(policy.folder / graph.file)


def test_plans_are_built_where_there_is_no_torch(
    policy: Policy, run_without_torch: Callable[..., CompletedProcess[str]]
) -> None:
    code = "from dmh_edge.cli import main; main()"
    finished = run_without_torch(code, "export", str(policy.folder), "--trt", "--trt-target", "sm89")
    assert finished.returncode == 0, finished.stderr
    assert policy.engines().targets == ("sm89",)


def test_a_policy_with_new_plans_keeps_its_identity(policy: Policy) -> None:
    plans.build_plans(policy, ("sm89",))
    assert Policy.load(policy.folder).sha256 == policy.sha256


def test_an_unknown_target_is_refused_with_the_known_ones(policy: Policy) -> None:
    with pytest.raises(ConfigError, match=r"--trt-target 'sm13'.*sm89"):
        plans.build_plans(policy, ("sm13",))
    assert not policy.has_engines


def test_a_build_that_fails_leaves_the_old_plans_usable(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    old = plans.build_plans(policy, ("sm89",))
    broken = policy.folder / "broken.onnx"
    broken.write_bytes(b"no graph")
    graphs = policy.contract.model.graphs
    changed = graphs[1].model_copy(update={"file": broken.name})
    model = policy.contract.model.model_copy(update={"graphs": (graphs[0], changed)})
    contract = policy.contract.model_copy(update={"model": model, "files": {**policy.contract.files, broken.name: ""}})
    with pytest.raises(ExportError, match=r"cannot parse .*broken.onnx"):
        plans.build_plans(Policy(policy.folder, contract, policy.sha256), ("sm86",))
    assert policy.engines() == old


def test_a_build_that_is_cut_short_leaves_nothing_that_is_accepted(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans.build_plans(policy, ("sm89",))
    written = []

    def dies_at_the_second(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(plans, "write_bytes", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        plans.build_plans(policy, ("sm86",))
    with pytest.raises(ArtifactError, match="build the engines"):
        policy.engines()


def test_a_plan_without_a_gpu_that_can_run_it_is_one_clear_sentence(policy: Policy) -> None:
    plans.build_plans(policy, ("sm80",))
    with pytest.raises(BackendError, match=r"(no NVIDIA GPU that works .* run the .onnx file here|built for sm80)"):
        open_session(policy.folder / "model.plan")


@pytest.mark.gpu
def test_tensorrt_computes_what_the_reference_computed(policy: Policy) -> None:
    from dmh_edge.runtime.sessions.cuda import compute_capability
    from dmh_edge.runtime.sessions.replay import replay

    plans.build_plans(policy, (compute_capability(),))
    _, session = open_session(policy.folder / "model.plan")
    replay(policy.golden_trace(), session).require()
    session.close()
