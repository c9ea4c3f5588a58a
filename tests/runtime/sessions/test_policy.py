from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmh_edge.errors import ArtifactError, ContractError
from dmh_edge.files import sha256
from dmh_edge.runtime.sessions.policy import NOTE_NAME, EngineNote, Policy

FILES = ("model.onnx", "model.memory.onnx", "model.trace.npz")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_plans(folder: Path) -> Policy:
    """The folder with files that pass for engines until somebody deserialises them."""
    policy = Policy.load(folder)
    plans = {graph.engine_file: b"plan of " + graph.name.encode() for graph in policy.contract.model.graphs}
    for name, content in plans.items():
        (folder / name).write_bytes(content)
    note = EngineNote(
        builder="tensorrt_rtx",
        builder_version="1.0",
        targets=("sm89",),
        precision="float32",
        batch_profile=(1, 1, 16),
        plans={name: sha256(folder / name) for name in plans},
        onnx={graph.file: policy.contract.files[graph.file] for graph in policy.contract.model.graphs},
    )
    (folder / NOTE_NAME).write_text(note.model_dump_json())
    return policy


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=rf"{name} is truncated or altered"):
        Policy.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name} is truncated or altered"):
        Policy.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing"):
        Policy.load(folder)


def test_a_missing_contract_is_refused(folder: Path) -> None:
    (folder / "model.json").unlink()
    with pytest.raises(ContractError, match=r"model.json cannot be read"):
        Policy.load(folder)


def test_a_truncated_contract_is_refused(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ContractError, match="is not JSON"):
        Policy.load(folder)


def test_a_contract_of_a_future_version_is_refused(folder: Path) -> None:
    edit(folder / "model.json", lambda content: content.update(format_version=2))
    with pytest.raises(ContractError, match="format version 2, but this dmh-edge reads version 1"):
        Policy.load(folder)


def test_a_contract_with_an_unknown_field_is_refused_by_its_name(folder: Path) -> None:
    edit(folder / "model.json", lambda content: content["task"].update(horizont=3))
    with pytest.raises(ContractError, match=r"task.horizont: unknown field 'horizont' \(did you mean 'horizon'\?\)"):
        Policy.load(folder)


def test_a_contract_that_vouches_for_fewer_files_than_there_are_is_refused(folder: Path) -> None:
    edit(folder / "model.json", lambda content: content["files"].pop("model.onnx"))
    with pytest.raises(ContractError, match=r"has hashes of .*, expected one of each of"):
        Policy.load(folder)


def test_plans_that_are_as_built_are_accepted(folder: Path) -> None:
    assert with_plans(folder).engines().targets == ("sm89",)


def test_an_altered_plan_is_refused_before_anybody_deserialises_it(folder: Path) -> None:
    policy = with_plans(folder)
    (folder / "model.plan").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=r"model.plan is truncated or altered"):
        policy.engines()


def test_a_plan_that_was_built_from_another_onnx_file_is_refused(folder: Path) -> None:
    policy = with_plans(folder)
    edit(folder / NOTE_NAME, lambda note: note["onnx"].update({"model.onnx": "0" * 64}))
    with pytest.raises(ArtifactError, match=r"model.plan was built from another model.onnx"):
        policy.engines()


def test_plans_without_a_note_are_refused(folder: Path) -> None:
    policy = with_plans(folder)
    (folder / NOTE_NAME).unlink()
    with pytest.raises(ArtifactError, match="build the engines: dmh-edge export"):
        policy.engines()


def test_a_note_that_forgets_a_plan_is_refused(folder: Path) -> None:
    policy = with_plans(folder)
    edit(folder / NOTE_NAME, lambda note: note["plans"].pop("model.memory.plan"))
    with pytest.raises(ArtifactError, match=r"has no model.memory.plan"):
        policy.engines()
