from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from dmh_edge.errors import ExportError
from dmh_edge.export.onnx_files import _check_rules
from dmh_edge.runtime.policy import Policy


@pytest.fixture(params=[0, 1])
def proto(exported: Policy, request: pytest.FixtureRequest) -> onnx.ModelProto:
    """Each exported graph."""
    return onnx.load(str(exported.folder / exported.contract.model.graphs[request.param].file))


def test_inputs_and_outputs_are_those_of_the_contract(exported: Policy) -> None:
    for graph in exported.contract.model.graphs:
        proto = onnx.load(str(exported.folder / graph.file))
        assert [tensor.name for tensor in proto.graph.input] == list(graph.inputs)
        assert [tensor.name for tensor in proto.graph.output] == list(graph.outputs)


def test_only_the_batch_is_free(proto: onnx.ModelProto) -> None:
    for tensor in (*proto.graph.input, *proto.graph.output):
        assert [d.dim_param for d in tensor.type.tensor_type.shape.dim if d.dim_param] == ["batch"], tensor.name


def test_weights_are_inside_and_the_domain_is_the_default_one(proto: onnx.ModelProto) -> None:
    assert {(entry.domain, entry.version) for entry in proto.opset_import} == {("", 18)}
    assert all(w.data_location == TensorProto.DEFAULT for w in proto.graph.initializer)


def test_no_path_of_the_exporting_machine_is_in_the_file(exported: Policy) -> None:
    for graph in exported.contract.model.graphs:
        content = (exported.folder / graph.file).read_bytes()
        assert not re.search(rb"\.py|site-packages|File \"", content)
        assert str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.parametrize("operator", ["Loop", "RandomNormal"])
def test_control_flow_and_randomness_are_refused(exported: Policy, operator: str) -> None:
    graph = exported.contract.model.graphs[0]
    proto = onnx.load(str(exported.folder / graph.file))
    proto.graph.node.append(helper.make_node(operator, [], ["x"]))
    with pytest.raises(ExportError, match=f"holds {operator}"):
        _check_rules(proto, graph)


def test_a_foreign_domain_is_refused(exported: Policy) -> None:
    graph = exported.contract.model.graphs[0]
    proto = onnx.load(str(exported.folder / graph.file))
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ExportError, match="default domain alone"):
        _check_rules(proto, graph)
