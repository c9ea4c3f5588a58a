"""ONNX Runtime sessions: the only file that uses it.

All tensors are bound once. On the CPU they are numpy arrays that the engine reads and writes in place. With CUDA the
state stays on the device, and only world tensors and outputs are copied.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec, PolicyContract
from dmh_edge.errors import BackendError, ContractError, MissingExtraError
from dmh_edge.runtime.sessions.buffered import BufferedSession, View, views
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.session import Arrays

# By default, onnxruntime 1.32 starts a thread when it is imported. Some seconds later this thread starts others, takes
# memory for their stacks and sends telemetry: while the loop runs, and from a robot's network.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    import onnxruntime
except ImportError:  # a robot can use only TensorRT
    onnxruntime = None

if TYPE_CHECKING:
    from onnxruntime import IOBinding, OrtValue

_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "int64": "tensor(int64)", "bool": "tensor(bool)"}


class OrtSession(BufferedSession):
    """A policy on ONNX Runtime.

    Args:
        policy: the checked policy.
        batch: number of robots B.
        device: device that computes the policy: ``cpu`` or ``cuda``.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        BackendError: it cannot load a graph, or has no CUDA on this machine.
        ContractError: the tensors of a graph differ from those in the contract.
    """

    def __init__(self, policy: Policy, batch: int = 1, device: Literal["cpu", "cuda"] = "cpu") -> None:
        super().__init__(policy.contract, batch)
        if onnxruntime is None:
            raise MissingExtraError("onnxruntime", "ort", "running .onnx files")
        self._device = device
        self._graphs = [self._load(policy, graph) for graph in policy.contract.model.graphs]
        model = policy.contract.model
        self._world = {spec.name: _buffer(spec.zeros(batch), device) for spec in model.world}
        self._host_outputs = {spec.name: spec.zeros(batch) for spec in model.outputs}
        self._output_values = {name: _buffer(array, "cpu") for name, array in self._host_outputs.items()}
        self._host_state = {spec.name: (spec.zeros(batch), spec.zeros(batch)) for spec in model.state}
        self._state = {name: [_buffer(array, device) for array in pair] for name, pair in self._host_state.items()}
        self._host_world = {spec.name: spec.zeros(batch) for spec in model.world}
        if device == "cpu":  # the engine uses the numpy memory itself
            self._world = {name: _buffer(array, "cpu") for name, array in self._host_world.items()}
        self._bindings = [
            {view: self._bind(index, graph, view) for view in views(model.graphs)}
            for index, graph in enumerate(model.graphs)
        ]

    @property
    def backend(self) -> str:
        """Name of the backend: ``ort-cpu`` or ``ort-cuda``."""
        return f"ort-{self._device}"

    def _load(self, policy: Policy, graph: GraphSpec) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the caller's thread computes
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        wanted = "CUDAExecutionProvider" if self._device == "cuda" else "CPUExecutionProvider"
        if wanted not in onnxruntime.get_available_providers():
            raise BackendError(
                f"this onnxruntime has no {wanted}; it offers {', '.join(onnxruntime.get_available_providers())}. "
                "Install the extra ort-gpu in place of ort, or use --backend ort-cpu"
            )
        # Without TF32, which would keep only 10 bits of each factor: float32 must mean float32.
        provider = (wanted, {"use_tf32": "0"}) if self._device == "cuda" else wanted
        path = policy.folder / graph.file
        try:
            loaded = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # onnxruntime raises its own types for every fault
            raise BackendError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
        if wanted not in loaded.get_providers():
            raise BackendError(f"{path}: ONNX Runtime fell back from {wanted} to {loaded.get_providers()}")
        _check_graph(loaded, policy.contract, graph, str(path))
        return loaded

    def _bind(self, index: int, graph: GraphSpec, view: View) -> IOBinding:
        binding = self._graphs[index].io_binding()
        for name in graph.inputs:
            value = self._state[name][view[self._writer[name]]] if name in self._state else self._world[name]
            binding.bind_ortvalue_input(name, value)
        for name in graph.outputs:
            state = name.removesuffix("_next")
            value = self._output_values[name] if state == name else self._state[state][1 - view[index]]
            binding.bind_ortvalue_output(name, value)
        return binding

    def _feed(self, world: Arrays) -> None:
        for name, array in self._host_world.items():
            np.copyto(array, world[name])
            if self._device == "cuda":
                self._world[name].update_inplace(array)

    def _run(self, index: int, view: View) -> None:
        try:
            self._graphs[index].run_with_iobinding(self._bindings[index][view])
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime failed in graph {self.contract.model.graphs[index].name}: {error}"
            ) from error

    def _outputs(self) -> Arrays:
        return self._host_outputs

    def _get(self, name: str, buffer: int) -> NDArray[Any]:
        if self._device == "cpu":
            return self._host_state[name][buffer]
        array: NDArray[Any] = self._state[name][buffer].numpy()
        return array

    def _set(self, name: str, buffer: int, array: NDArray[Any]) -> None:
        if self._device == "cpu":
            np.copyto(self._host_state[name][buffer], array)
        else:
            self._state[name][buffer].update_inplace(np.ascontiguousarray(array))


def _buffer(array: NDArray[Any], device: str) -> OrtValue:
    """A tensor for the engine; on the CPU it is the numpy array itself."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)


def _check_graph(loaded: Any, contract: PolicyContract, graph: GraphSpec, path: str) -> None:
    """Refuse a graph whose tensors or metadata differ from the contract."""
    metadata = loaded.get_modelmeta().custom_metadata_map
    expected = {"dmh_edge.format_version": str(contract.format_version), "dmh_edge.policy": contract.name}
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise ContractError(f"{path}: metadata {key} is {metadata.get(key)!r}, but the contract says {value!r}")
    for kind, found, names in (
        ("inputs", loaded.get_inputs(), graph.inputs),
        ("outputs", loaded.get_outputs(), graph.outputs),
    ):
        if [tensor.name for tensor in found] != list(names):
            raise ContractError(f"{path}: {kind} are {[t.name for t in found]}, but the contract says {list(names)}")
        for tensor in found:
            spec = contract.model.tensor(tensor.name)
            shape = ["batch" if isinstance(size, str) else size for size in tensor.shape]
            if shape != list(spec.shape) or tensor.type != _TYPES[spec.dtype]:
                raise ContractError(
                    f"{path}: {tensor.name} is {tensor.type} {shape}, "
                    f"but the contract says {spec.dtype} {list(spec.shape)}"
                )
