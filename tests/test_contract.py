from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dmh_edge.contract import CONTRACT_NAME, GraphSpec, ModelSpec, PolicyContract, TensorSpec
from dmh_edge.errors import ContractError
from dmh_edge.schema import parse
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, TaskSpec

POLICIES = Path(__file__).parent / "policies"


@pytest.fixture(params=["tiny-discrete", "tiny-continuous"])
def contract(request: pytest.FixtureRequest) -> PolicyContract:
    return PolicyContract.load(POLICIES / request.param)


def changed(contract: PolicyContract, *path: str | int, **change: Any) -> str:
    """The contract's JSON with fields changed at a place."""
    content = json.loads(contract.model_dump_json())
    place = content
    for part in path:
        place = place[part]
    place.update(change)
    return json.dumps(content)


def test_rounding_that_no_policy_may_have_is_refused(contract: PolicyContract) -> None:
    content = contract.model_dump() | {"rounding": {"logits": 1.0}}
    with pytest.raises(ValidationError, match="rounding"):
        PolicyContract.model_validate(content)


@pytest.mark.parametrize("name", ["", " ", "a task", "a\n", "-a"])
def test_a_task_has_a_name_that_can_stand_on_a_command_line(contract: PolicyContract, name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        TaskSpec.model_validate(contract.task.model_dump() | {"name": name})


def test_json_and_back_loses_nothing(contract: PolicyContract, tmp_path: Path) -> None:
    contract.save(tmp_path)
    assert PolicyContract.load(tmp_path) == contract
    once = (tmp_path / CONTRACT_NAME).read_bytes()
    PolicyContract.load(tmp_path).save(tmp_path)
    assert (tmp_path / CONTRACT_NAME).read_bytes() == once


def test_a_contract_cannot_be_changed(contract: PolicyContract) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        contract.name = "another"  # type: ignore[misc]


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused_whatever_else_is_in_it(contract: PolicyContract, version: Any) -> None:
    with pytest.raises(ContractError, match=rf"f: format version {version!r}, but this dmh-edge reads version 1"):
        parse(PolicyContract, changed(contract, format_version=version, from_the_future=1), "f")


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ((), "tsk", r"tsk: unknown field 'tsk' \(did you mean 'task'\?\)"),
        (("task",), "rate", r"task.rate: unknown field 'rate' \(did you mean 'rate_hz'\?\)"),
        (
            ("task", "observation", 0),
            "lowest",
            r"task.observation.0.lowest: unknown field 'lowest' \(did you mean 'low'",
        ),
        (("model", "graphs", 1), "fil", r"model.graphs.1.fil: unknown field 'fil' \(did you mean 'file'\?\)"),
    ],
)
def test_an_unknown_field_is_refused_by_its_place_and_nearest_name(
    contract: PolicyContract, path: tuple[str | int, ...], field: str, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        parse(PolicyContract, changed(contract, *path, **{field: 1}), "f")


def test_a_missing_field_is_refused_by_its_name(contract: PolicyContract) -> None:
    content = json.loads(contract.model_dump_json())
    del content["task"]["horizon"]
    with pytest.raises(ContractError, match=r"task.horizon: this field is missing"):
        parse(PolicyContract, json.dumps(content), "f")


@pytest.mark.parametrize("text", ['{"rate_hz": NaN}', '{"rate_hz": -1}', '{"rate_hz": "fast"}'])
def test_an_odd_value_is_refused_with_what_was_found(contract: PolicyContract, text: str) -> None:
    content = json.loads(contract.task.model_dump_json()) | json.loads(text)
    with pytest.raises(ContractError, match="rate_hz: got"):
        parse(TaskSpec, json.dumps(content), "f")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ContractError, match="f is not JSON"):
        parse(PolicyContract, '{"format_version": 1', "f")


def test_a_list_is_no_contract() -> None:
    with pytest.raises(ContractError, match="format version None"):
        parse(PolicyContract, "[]", "f")


def test_bounds_that_are_not_in_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"low 1.0 is not below high 1.0"):
        Element(name="x", low=1, high=1)


def test_levels_that_do_not_fill_the_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"9 levels do not reach from 0.0 to 9.0"):
        Element(name="x", low=0, high=9, levels=9)


def test_action_vectors_of_another_length_are_refused() -> None:
    elements = (Element(name="x", low=0, high=1), Element(name="y", low=0, high=1))
    with pytest.raises(ValidationError, match="safe has 1 values for 2 action elements"):
        ContinuousAction(elements=elements, mode="position", safe=(0.0,))


def test_what_measures_an_action_is_one_of_the_observations(contract: PolicyContract) -> None:
    elements = (Element(name="a", low=-1, high=1),)
    task = contract.task.model_dump()
    for name, fits in ((contract.task.observation[0].name, True), ("no_such_angle", False)):
        action = ContinuousAction(elements=elements, mode="position", safe=(0.0,), measured_as=(name,))
        with contextlib.nullcontext() if fits else pytest.raises(ValidationError, match="unknown observation element"):
            TaskSpec.model_validate(task | {"action": action.model_dump()})
    with pytest.raises(ValidationError, match="measured_as has 2 values for 1 action elements"):
        ContinuousAction(elements=elements, mode="position", safe=(0.0,), measured_as=("a", "b"))


def test_a_safe_choice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="safe choice 2 is not one of 2"):
        DiscreteAction(names=("go", "stay"), safe=2)


def test_a_tensor_has_exactly_one_batch_axis() -> None:
    assert TensorSpec(name="x", dtype="float32", shape=(2, "batch", 3)).zeros(4).shape == (2, 4, 3)
    with pytest.raises(ValidationError, match="needs exactly one batch axis"):
        TensorSpec(name="x", dtype="float32", shape=(2, 3))


def test_a_graph_that_is_not_due_every_tick_says_what_restarts_it() -> None:
    with pytest.raises(ValidationError, match="restart_on"):
        GraphSpec(name="memory", file="m.onnx", every=5, inputs=("x",), outputs=("y",))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (("nobody",), ("action", "x_next"), "reads a tensor that is not declared: 'nobody'"),
        (("x",), ("action", "x_next", "y_next"), "writes a tensor that is not declared: 'y_next'"),
        (("x",), ("action",), "no graph writes x_next"),
        (("x",), ("action", "x_next", "action"), "two graphs write 'action'"),
    ],
)
def test_graphs_use_declared_tensors_and_write_each_once(
    inputs: tuple[str, ...], outputs: tuple[str, ...], message: str
) -> None:
    numbers = TensorSpec(name="x", dtype="float32", shape=("batch",))
    with pytest.raises(ValidationError, match=message):
        ModelSpec(
            kind="test",
            sizes={},
            world=(numbers.model_copy(update={"name": "observation"}),),
            state=(numbers,),
            outputs=(numbers.model_copy(update={"name": "action"}),),
            graphs=(GraphSpec(name="g", file="g.onnx", inputs=inputs, outputs=outputs),),
        )


def test_the_spec_of_a_next_state_is_that_of_the_state(contract: PolicyContract) -> None:
    state = contract.model.tensor("memory_ssm")
    following = contract.model.tensor("memory_ssm_next")
    assert (following.name, following.shape, following.dtype) == ("memory_ssm_next", state.shape, state.dtype)
    with pytest.raises(ContractError, match="unknown tensor 'memory_sm'"):
        contract.model.tensor("memory_sm")
