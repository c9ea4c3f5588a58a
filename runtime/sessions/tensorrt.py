"""TensorRT sessions: plans on an NVIDIA GPU, with all state on the device.

A tick is one copy to the device, one CUDA graph per due engine, and one copy to the host, on a separate stream. Each
engine has an execution context for every combination of state buffers, because plain tensors must not be read and
written in place. TensorRT-RTX captures its CUDA graphs itself, after it has specialised the kernels; for TensorRT, this
file captures them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec
from dmh_edge.errors import BackendError, ContractError
from dmh_edge.runtime.sessions import cuda, tensorrt_library
from dmh_edge.runtime.sessions.buffered import BufferedSession, View, all_finite, views
from dmh_edge.runtime.sessions.policy import EngineNote, Policy
from dmh_edge.runtime.sessions.session import Arrays

#: Longest wait for one tick. No tick comes near it; a GPU that takes longer has hung.
TIMEOUT_S = 1.0
#: Longest wait for an engine's first run, before the robot is armed.
FIRST_RUN_TIMEOUT_S = 60.0


class _Closes(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closes)


class TensorRTSession(BufferedSession):
    """A policy on TensorRT or TensorRT-RTX, depending on which of the two built its plans.

    Args:
        policy: the checked policy.
        batch: number of robots B, within the plans' profile.

    Raises:
        ArtifactError: a plan is missing, altered, or built from other ONNX files.
        MissingExtraError: the library that built the plans is not installed.
        BackendError: the plans are for another version or GPU, or there is no GPU.
        ContractError: the batch is outside the profile.
    """

    def __init__(self, policy: Policy, batch: int = 1) -> None:
        super().__init__(policy.contract, batch)
        note = policy.engines()
        self._library = fitting_library(note)
        self._captures_itself = note.builder == "tensorrt_rtx"
        smallest, _, largest = note.batch_profile
        if not smallest <= batch <= largest:
            raise ContractError(f"the plans run {smallest} to {largest} robots, not {batch}; use the .onnx files")
        self._log = tensorrt_library.Log(self._library)
        self._runtime = self._library.Runtime(self._log.logger)
        self._held = contextlib.ExitStack()  # closes in the reverse order of what follows
        model = policy.contract.model
        try:
            self._stream = self._hold(cuda.Stream())
            self._world = self._hold(cuda.Slab({spec.name: spec.zeros(batch) for spec in model.world}))
            self._results = self._hold(cuda.Slab({spec.name: spec.zeros(batch) for spec in model.outputs}))
            self._state = [
                self._hold(cuda.Slab({spec.name: spec.zeros(batch) for spec in model.state})) for _ in range(2)
            ]
            engines = [self._load(policy, graph) for graph in model.graphs]
            self._launch: list[dict[View, Callable[[], None]]] = [
                {view: self._prepare(engine, index, graph, view) for view in views(model.graphs)}
                for index, (engine, graph) in enumerate(zip(engines, model.graphs, strict=True))
            ]
            self._zero_state()
        except BaseException:
            self.close()
            raise

    def _hold(self, resource: T) -> T:
        self._held.callback(resource.close)
        return resource

    @property
    def backend(self) -> str:
        """Name of the backend: ``tensorrt``."""
        return "tensorrt"

    def proposal_is_finite(self) -> bool:
        """Whether the outputs are finite.

        The state stays on the device, but the outputs show whether it is finite. What a tick adds to memory and cache
        also reaches the tick's logits or continuous action, through norms that pass a NaN on and turn an infinity into
        a NaN (the plans are built to be strict about NaN). Counters only add up rewards, which the guard has found to
        be finite.
        """
        return all_finite(self._results.host.values())

    def close(self) -> None:
        """Free the device's memory. Idempotent."""
        self._held.close()

    def _load(self, policy: Policy, graph: GraphSpec) -> Any:
        path = policy.folder / graph.engine_file
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise BackendError(f"{path} does not run on this machine: {self._log.said()}")
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        if names != {*graph.inputs, *graph.outputs}:
            raise ContractError(
                f"{path}: tensors are {sorted(names)}, but the contract says {graph.inputs}, {graph.outputs}"
            )
        return engine

    def _prepare(self, engine: Any, index: int, graph: GraphSpec, view: View) -> Callable[[], None]:
        """Make a function that runs an engine: it reads the buffers of ``view`` and writes to the others."""
        context = engine.create_execution_context(*self._runtime_config(engine))
        if context is None:
            raise BackendError(f"{graph.engine_file}: no execution context: {self._log.said()}")
        model = self.contract.model
        for name in graph.inputs:
            context.set_input_shape(name, model.tensor(name).zeros(self.batch).shape)
            address = self._state[view[self._writer[name]]].device if name in self._writer else self._world.device
            context.set_tensor_address(name, address[name])
        for name in graph.outputs:
            state = name.removesuffix("_next")
            slab = self._results if state == name else self._state[1 - view[index]]
            context.set_tensor_address(name, slab.device[state])

        def enqueue() -> None:
            if not context.execute_async_v3(int(self._stream.handle)):
                raise BackendError(f"{graph.engine_file} cannot be enqueued: {self._log.said()}")

        enqueue()  # the first run allocates, compiles, and with TensorRT-RTX captures
        self._stream.wait(FIRST_RUN_TIMEOUT_S)
        if self._captures_itself:
            return enqueue
        captured = self._hold(self._stream.capture(enqueue))
        captured.keep = context  # the captured graph uses its memory
        return captured.launch

    def _runtime_config(self, engine: Any) -> tuple[Any, ...]:
        if not self._captures_itself:
            return ()
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = self._library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        # By default it compiles in the background while the loop runs; here it does so before anything moves.
        config.dynamic_shapes_kernel_specialization_strategy = (
            self._library.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        return (config,)

    def _feed(self, world: Arrays) -> None:
        for name, array in self._world.host.items():
            np.copyto(array, world[name])
        self._world.upload(self._stream.handle)

    def _run(self, index: int, view: View) -> None:
        self._launch[index][view]()

    def _outputs(self) -> Arrays:
        return self._results.host

    def step(self, world: Arrays) -> Arrays:
        """Propose one tick; see `Session.step`."""
        super().step(world)
        self._results.download(self._stream.handle)
        self._stream.wait(TIMEOUT_S)
        return self._results.host

    def _get(self, name: str, buffer: int) -> NDArray[Any]:
        self._state[buffer].download(self._stream.handle)
        self._stream.wait(TIMEOUT_S)
        array: NDArray[Any] = self._state[buffer].host[name]
        return array

    def _set(self, name: str, buffer: int, array: NDArray[Any]) -> None:
        self._get(name, buffer)[:] = array
        self._state[buffer].upload(self._stream.handle)
        self._stream.wait(TIMEOUT_S)

    def _zero_state(self) -> None:
        """Zero the state buffers, which the first runs of the engines have written."""
        for slab in self._state:
            for array in slab.host.values():
                array[:] = 0
            slab.upload(self._stream.handle)
        self._stream.wait(TIMEOUT_S)


def fitting_library(note: EngineNote) -> Any:
    """Import the library that built the plans, and check its version and this machine's GPU.

    Raises:
        MissingExtraError: the library is not installed.
        BackendError: its version or the GPU differs, or there is no GPU.
    """
    here = cuda.compute_capability()
    name, library = tensorrt_library.load(note.builder)
    if library.__version__ != note.builder_version:
        raise BackendError(
            f"the plans were built by {name} {note.builder_version}, but {library.__version__} is installed; "
            "build them again: dmh-edge export FOLDER --trt"
        )
    if here not in note.targets:
        raise BackendError(
            f"the plans were built for {', '.join(note.targets)}, but this GPU is {here}; "
            "build them again: dmh-edge export FOLDER --trt"
        )
    return library
