"""Loading a policy in a program, and the names that `dmh_edge` hands on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dmh_edge
from dmh_edge import api
from dmh_edge.errors import ArtifactError, ConfigError, ParityError
from dmh_edge.runtime.sessions.policy import Policy

TINY = str(Path(__file__).parents[1] / "policies" / "tiny-discrete")


def test_a_policy_is_loaded_by_its_folder_or_by_a_file_in_it(folder):
    expected = Policy.load(folder)
    for engine in (folder, str(folder), folder / "model.onnx"):
        policy = dmh_edge.load(engine)
        assert (policy.folder, policy.backend) == (folder, "ort-cpu")
        assert (policy.contract, policy.sha256) == (expected.contract, expected.sha256)
    assert dmh_edge.load(folder, backend="ort-cuda").backend == "ort-cuda"
    assert "contract" not in repr(policy)


def test_every_file_is_held_against_its_hash(folder):
    content = bytearray((folder / "model.memory.onnx").read_bytes())
    content[100] ^= 1
    (folder / "model.memory.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.memory\.onnx is truncated or altered"):
        dmh_edge.load(folder)


def test_a_plan_is_held_against_its_hash_before_it_is_opened(folder):
    (folder / "model.plan").write_bytes(b"of another policy")
    with pytest.raises(ArtifactError, match=r"model\.plan\.json cannot be read"):
        dmh_edge.load(folder / "model.plan")


def test_what_cannot_be_loaded_is_named(folder, tmp_path):
    with pytest.raises(ArtifactError, match="nowhere does not exist"):
        dmh_edge.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="did you mean 'ort-cpu'"):
        dmh_edge.load(folder, backend="ort-cpuu")
    with pytest.raises(ConfigError, match="robots: got 0, expected at least 1"):
        dmh_edge.load(folder).agent(robots=0)


def test_the_self_test_finds_an_engine_that_computes_something_else(policy, monkeypatch):
    policy.self_test()
    trace = policy.checked.golden_trace()
    next(iter(trace.outputs.values()))[7] += 1
    monkeypatch.setattr(Policy, "golden_trace", lambda _: trace)
    with pytest.raises(ParityError, match="tick 7"):
        policy.self_test()


def test_the_package_hands_on_what_api_offers():
    assert sorted({*dmh_edge.__all__} - {"__version__"}) == sorted(api.__all__)
    assert all(getattr(dmh_edge, name) is getattr(api, name) for name in api.__all__)
    assert {*dmh_edge.__all__} <= {*dir(dmh_edge)}
    with pytest.raises(AttributeError, match="'dmh_edge' has no attribute 'laod'"):
        _ = dmh_edge.laod


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; import dmh_edge; print(sorted(m for m in sys.modules if m in ('numpy', 'torch', 'dmh_edge.api')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_policy_acts_and_remembers_where_torch_is_missing(run_without_torch, tmp_path):
    code = (
        "import dmh_edge\n"
        "with dmh_edge.load(sys.argv[1]).agent(robots=2) as agent:\n"
        "    print(agent.act([[0.0, 0.0], [1.0, 1.0]], [0.0, 0.0], [True, True]).shape)\n"
        "    agent.save(sys.argv[2]); agent.load(sys.argv[2])\n"
        "try:\n"
        "    dmh_edge.train_policy('darkroom', sys.argv[2] + '.run')\n"
        "except dmh_edge.errors.MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = run_without_torch(code, TINY, str(tmp_path / "memory.state"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(2,)\n")
    assert "training needs torch, which is not installed" in done.stdout
