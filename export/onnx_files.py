"""PyTorch to ONNX: one file per graph, weights inside, checked.

Opset 18 and the default domain alone, so that TensorRT 10.3 of JetPack 6 reads it too.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxscript import opset18 as op

from dmh_edge.contract import GraphSpec, ModelSpec
from dmh_edge.errors import ExportError
from dmh_edge.export.step_graph import StepGraph
from dmh_edge.models.policy_model import PolicyModel

OPSET = 18


def write_onnx(model: PolicyModel, spec: ModelSpec, graph: GraphSpec, path: Path, metadata: dict[str, str]) -> None:
    """Export one graph of a model.

    Args:
        model: float32, on the CPU.
        spec: the model's tensors.
        graph: which graph.
        path: the file to write.
        metadata: kept in the file.

    Raises:
        ExportError: the exporter failed, or the file breaks a rule of the step form.
    """
    example_batch = 2  # the exporter takes an axis of size 1 for a constant
    examples, shapes = [], []
    for name in graph.inputs:
        tensor = spec.tensor(name)
        examples.append(torch.from_numpy(tensor.zeros(example_batch)))
        shapes.append({tensor.batch_axis: torch.export.Dim("batch", min=1)})
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                StepGraph(model.eval(), graph),
                tuple(examples),
                dynamo=True,
                dynamic_shapes={"tensors": tuple(shapes)},
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                external_data=False,
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ExportError(f"graph {graph.name!r} cannot become ONNX: {error}") from error
    assert program is not None
    proto = program.model_proto
    _forget_origin(proto)
    onnx.helper.set_model_props(proto, metadata)
    _check_rules(proto, graph)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save_model(proto, str(path), save_as_external_data=False)


def _silu(x: Any) -> Any:
    """x * sigmoid(x), as x / (1 + exp(-x)).

    ONNX Runtime's Sigmoid is right to 1.5e-7 of one, not of its value: at -7 it has four digits left, at -10 two, and
    what such a gate multiplies may be a thousand.
    """
    return op.Div(x, op.Add(op.Exp(op.Neg(x)), op.Constant(value_float=1.0)))


#: What becomes other operators of ONNX than the exporter would choose.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.silu.default: _silu}


def _check_rules(proto: onnx.ModelProto, graph: GraphSpec) -> None:
    """No control flow, no foreign operators, no random ones, opset 18."""
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if proto.functions or set(opsets) - {""} or opsets[""] != OPSET:
        raise ExportError(f"graph {graph.name!r}: expected opset {OPSET} of the default domain alone, got {opsets}")
    forbidden = {"If", "Loop", "Scan", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"}
    if found := forbidden & {node.op_type for node in proto.graph.node}:
        raise ExportError(f"graph {graph.name!r} holds {', '.join(sorted(found))}, which no step graph may")


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes of its own run: stack traces with paths of the machine that exported."""
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.initializer, *proto.graph.value_info):
        del part.metadata_props[:]
    for part in (*proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress, and warns of its own innards."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
