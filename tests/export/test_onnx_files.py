from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from dmh_edge.errors import ExportError
from dmh_edge.export.onnx_files import TRANSLATIONS, _check_rules, _quiet
from dmh_edge.runtime.sessions.policy import Policy


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


def test_a_gate_that_is_nearly_shut_keeps_its_digits_in_onnx_runtime(tmp_path: Path) -> None:
    """What it multiplies may be a thousand."""
    gates = np.linspace(-80, 20, 2001, dtype=np.float32)
    exact = gates / (1 + np.exp(-gates.astype(np.float64)))
    gate = torch.nn.SiLU().eval()
    with _quiet():
        exported = torch.onnx.export(
            gate, (torch.from_numpy(gates),), dynamo=True, custom_translation_table=TRANSLATIONS, verbose=False
        )
    assert exported is not None
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString())
    (got,) = session.run(None, {session.get_inputs()[0].name: gates})
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-37)


def test_no_gate_is_left_to_sigmoid(proto: onnx.ModelProto) -> None:
    assert not [node.op_type for node in proto.graph.node if node.op_type == "Sigmoid"]


@pytest.mark.parametrize("operator", ["Loop", "RandomNormal"])
def test_control_flow_and_randomness_are_refused(exported: Policy, operator: str) -> None:
    graph = exported.contract.model.graphs[0]
    proto = onnx.load(str(exported.folder / graph.file))
    proto.graph.node.append(helper.make_node(operator, [], ["x"]))
    with pytest.raises(ExportError, match=f"contains {operator}"):
        _check_rules(proto, graph)


def test_a_foreign_domain_is_refused(exported: Policy) -> None:
    graph = exported.contract.model.graphs[0]
    proto = onnx.load(str(exported.folder / graph.file))
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ExportError, match="default domain alone"):
        _check_rules(proto, graph)
