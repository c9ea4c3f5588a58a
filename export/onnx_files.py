"""PyTorch to ONNX: one checked file per graph, with the weights inside.

Only operators of opset 18 in the default domain are used, so that TensorRT 10.3 of JetPack 6 can read the files too.
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
        model: the model in float32, on the CPU.
        spec: spec of the model's tensors.
        graph: the graph to export.
        path: the file to write.
        metadata: properties to store in the file.

    Raises:
        ExportError: the exporter failed, or the graph breaks a rule for step graphs.
    """
    example_batch = 2  # the exporter treats an axis of size 1 as constant
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
    """Return x * sigmoid(x), computed as x / (1 + exp(-x)).

    ONNX Runtime's Sigmoid has an absolute error of 1.5e-7, not a relative one: at x = -7 four digits are correct, at
    x = -10 two, and such a gate can multiply a number of a thousand.
    """
    return op.Div(x, op.Add(op.Exp(op.Neg(x)), op.Constant(value_float=1.0)))


#: PyTorch operators whose translation to ONNX replaces the exporter's own.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.silu.default: _silu}


def _check_rules(proto: onnx.ModelProto, graph: GraphSpec) -> None:
    """Refuse control flow, random operators, operators of other domains, and opsets other than `OPSET`."""
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if proto.functions or set(opsets) - {""} or opsets[""] != OPSET:
        raise ExportError(f"graph {graph.name!r}: expected opset {OPSET} of the default domain alone, got {opsets}")
    forbidden = {"If", "Loop", "Scan", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"}
    if found := forbidden & {node.op_type for node in proto.graph.node}:
        raise ExportError(f"graph {graph.name!r} contains {', '.join(sorted(found))}, which a step graph must not")


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes on its own run: stack traces with paths of the machine that exported."""
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.initializer, *proto.graph.value_info):
        del part.metadata_props[:]
    for part in (*proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which prints its progress and warnings about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
