from __future__ import annotations

import random
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import onnx
import pytest

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.contract import GraphSpec, ModelSpec, ParityFigure
from dmh_edge.errors import ArtifactError, ContractError, ParityError
from dmh_edge.export import pipeline
from dmh_edge.export.pipeline import export_policy, prove, reference_model
from dmh_edge.models.dmh import DMH
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import TOLERANCES
from waiting import PATIENCE_S


def as_traced_before(exported: Policy, bias: float = 0.0) -> Callable[..., None]:
    """Stands in for `write_onnx`: writes the graphs of that policy, with ``bias`` added to what its head adds."""

    def write(model: PolicyModel, spec: ModelSpec, graph: GraphSpec, path: Path, metadata: dict[str, str]) -> None:
        proto = onnx.load(exported.folder / graph.file)
        for weight in proto.graph.initializer:
            if weight.name == "model.actor.head.bias":
                weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + bias, weight.name))
        onnx.helper.set_model_props(proto, metadata)
        onnx.save_model(proto, str(path))

    return write


def test_the_folder_is_one_whole_policy(exported: Policy) -> None:
    names = {"model.json", "model.onnx", "model.memory.onnx", "model.trace.npz"}
    plans = {"model.plan", "model.memory.plan", "model.plan.json"}
    assert {file.name for file in exported.folder.iterdir()} == names | plans
    assert set(exported.contract.files) == names - {"model.json"}
    assert exported.engines().targets == ("sm86", "sm89")


def test_the_parity_of_every_link_is_in_the_contract(exported: Policy) -> None:
    links = {(figure.reference.split(",")[0], figure.candidate) for figure in exported.contract.parity}
    assert {
        ("torch forward float64", "torch step float64"),
        ("torch step float64", "torch step float32"),
        ("torch step float32", "ort-cpu float32"),
        ("trace", "ort-cpu"),
    } <= links
    assert all(figure.worst_error <= figure.tolerance for figure in exported.contract.parity)
    assert {figure.tolerance for figure in exported.contract.parity} == {1e-10, 2e-4, 1e-5}
    assert 0 < max(exported.contract.rounding.values()) < 1e-6


def test_the_provenance_leads_back_to_the_run(exported: Policy, run: Path) -> None:
    assert exported.contract.provenance.checkpoint == str(run)
    assert isinstance(reference_model(exported, None), DMH)


def test_another_run_is_no_reference(exported: Policy, run: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(run)
    weights = {name: tensor + 1 for name, tensor in checkpoint.model.items()}
    Checkpoint(checkpoint.header, weights, {}, {}).save(tmp_path / CHECKPOINT_NAME)
    with pytest.raises(ContractError, match="holds other weights"):
        reference_model(exported, tmp_path)
    with pytest.raises(ArtifactError, match="name with --run"):
        reference_model(exported, tmp_path / "nowhere")


def test_float16_has_float16_products_and_a_tolerance_of_its_own(run: Path, tmp_path: Path) -> None:
    policy = export_policy(run, tmp_path / "half", precision="float16")
    cache = policy.contract.model.tensor("actor_key")
    assert (cache.dtype, policy.contract.model.tensor("memory_ssm").dtype) == ("float16", "float32")
    (backend, *_) = [figure for figure in policy.contract.parity if figure.candidate == "ort-cpu float16"]
    assert backend.tolerance == TOLERANCES["float16"]
    assert backend.worst_error > 1e-5  # else nothing was float16


def test_an_export_that_fails_parity_leaves_what_was_there(
    run: Path, exported: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "policy"
    out.mkdir()
    (out / "model.json").write_text("the policy before")
    monkeypatch.setattr(pipeline, "write_onnx", as_traced_before(exported, bias=1e-3))
    with pytest.raises(ParityError, match="first at tick 0, tensor logits"):
        export_policy(run, out)
    assert [file.name for file in tmp_path.rglob("*")] == ["policy", "model.json"]


def test_what_was_measured_of_rounding_is_what_backends_are_held_against(
    exported: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coarse(*arguments: object, **settings: object) -> tuple[list[ParityFigure], dict[str, float]]:
        return [], dict.fromkeys(("logits", "subgoal", *exported.contract.rounding), 1e-4)

    monkeypatch.setattr(pipeline, "check_step", coarse)
    said: list[str] = []
    proved = prove(exported, reference_model(exported, None), 20, said.append)
    assert [figure.tolerance for figure in proved.parity] == pytest.approx([1e-3] * 3)
    assert {figure.candidate for figure in proved.parity} == {"ort-cpu float32", "ort-cpu"}
    assert set(proved.rounding.values()) == {1e-4}
    assert any("a backend may be 1.0e-03 from PyTorch" in line for line in said)


def test_a_longer_proof_has_longer_rollouts(exported: Policy) -> None:
    said: list[str] = []
    proved = prove(exported, reference_model(exported, None), 300, said.append)
    assert {figure.ticks for figure in proved.parity} >= {300}
    assert any("parity" in line for line in said)


def test_a_folder_that_cannot_be_written_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="cannot be written"):
        export_policy(run, tmp_path / "file" / "policy")


def test_a_folder_that_holds_no_policy_is_not_replaced(run: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no model.json"):
        export_policy(run, run)
    assert (run / CHECKPOINT_NAME).exists()


def test_killed_at_any_moment_it_leaves_no_half_policy_that_is_accepted(
    run: Path, exported: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 times: fork, export, SIGKILL at a random moment, then look at what lies there.

    Most of an export is tracing and comparing, which touches no file: the graphs that were traced before are written
    instead, and the comparison is short, so that most moments fall where files are written.
    """
    monkeypatch.setattr(pipeline, "write_onnx", as_traced_before(exported))
    monkeypatch.setattr(pipeline, "GATE_TICKS", 20)
    context = get_context("fork")  # torch is imported already; a fresh interpreter would spend its life importing it
    out = tmp_path / "policy"

    def export() -> None:
        export_policy(run, out, trt=True, targets=("sm89",))

    started = time.monotonic()
    whole = context.Process(target=export)
    whole.start()
    whole.join(PATIENCE_S)
    duration_s = time.monotonic() - started
    assert whole.exitcode == 0
    finished = 0
    moments = random.Random(0)
    for _ in range(20):
        process = context.Process(target=export)
        process.start()
        process.join(moments.uniform(0, duration_s))
        process.kill()
        process.join(PATIENCE_S)
        finished += process.exitcode == 0
        Policy.load(out).engines()  # the old one or the new one, and whole
        for leftover in tmp_path.glob(".partial-*"):
            if (leftover / "model.json").exists():  # killed between the last file and the renaming: whole as well
                Policy.load(leftover).engines()
    assert finished < 20
