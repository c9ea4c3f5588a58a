"""TensorRT sessions: plans on an NVIDIA GPU, with all state on the device.

A tick is one copy up, one captured CUDA graph per due engine, and one copy down, on a stream of its own. Each engine
has a captured graph for every combination of state buffers, since plain tensors must not be read and written in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import GraphSpec
from dmh_edge.errors import BackendError, ContractError
from dmh_edge.runtime import cuda, tensorrt_library
from dmh_edge.runtime.buffered import BufferedSession, View, all_finite, views
from dmh_edge.runtime.policy import EngineNote, Policy
from dmh_edge.runtime.session import Arrays

#: Longest wait for one tick. Far above any tick; a GPU that takes longer has hung.
TIMEOUT_S = 1.0


class TensorRTSession(BufferedSession):
    """A policy on TensorRT or TensorRT-RTX, whichever built its plans.

    Args:
        policy: the checked folder.
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
        library = fitting_library(note)
        smallest, _, largest = note.batch_profile
        if not smallest <= batch <= largest:
            raise ContractError(f"the plans run {smallest} to {largest} robots, not {batch}; use the .onnx files")
        self._log = tensorrt_library.Log(library)
        self._runtime = library.Runtime(self._log.logger)
        self._stream = cuda.Stream()
        model = policy.contract.model
        self._world = cuda.Slab({spec.name: spec.zeros(batch) for spec in model.world})
        self._results = cuda.Slab({spec.name: spec.zeros(batch) for spec in model.outputs})
        self._state = [cuda.Slab({spec.name: spec.zeros(batch) for spec in model.state}) for _ in range(2)]
        self._engines = [self._load(policy, graph) for graph in model.graphs]
        self._contexts: list[Any] = []
        self._captured: list[dict[View, Any]] = [
            {view: self._capture(index, graph, view) for view in views(model.graphs)}
            for index, graph in enumerate(model.graphs)
        ]
        self._zero_state()

    @property
    def backend(self) -> str:
        """``tensorrt``."""
        return "tensorrt"

    def proposal_is_finite(self) -> bool:
        """Whether the outputs are finite.

        The state stays on the device. Whatever a tick adds to it also reaches the logits or the continuous action of
        the same tick, through norms that pass a NaN on and turn an infinity into one, so the outputs answer for it.
        """
        return all_finite(self._results.host.values())

    def close(self) -> None:
        """Free the device's memory. Idempotent."""
        if self._engines:
            self._captured, self._contexts, self._engines = [], [], []
            for slab in (self._world, self._results, *self._state):
                slab.close()
            self._stream.close()

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

    def _capture(self, index: int, graph: GraphSpec, view: View) -> Any:
        """A CUDA graph of one engine that reads the buffers of ``view`` and writes its tensors to the others."""
        context = self._engines[index].create_execution_context()
        if context is None:
            raise BackendError(f"{graph.engine_file}: no execution context: {self._log.said()}")
        self._contexts.append(context)  # a captured graph uses its context's memory
        model = self.contract.model
        for name in graph.inputs:
            context.set_input_shape(name, model.tensor(name).zeros(self.batch).shape)
            address = self._state[view[self._writer[name]]].device if name in self._writer else self._world.device
            context.set_tensor_address(name, address[name])
        for name in graph.outputs:
            state = name.removesuffix("_next")
            slab = self._results if state == name else self._state[1 - view[index]]
            context.set_tensor_address(name, slab.device[state])

        def enqueue(stream: Any) -> None:
            if not context.execute_async_v3(int(stream)):
                raise BackendError(f"{graph.engine_file} cannot be enqueued: {self._log.said()}")

        enqueue(self._stream.handle)  # the first run may allocate and compile, which cannot be captured
        self._stream.wait(60.0)
        return self._stream.capture(enqueue)

    def _feed(self, world: Arrays) -> None:
        for name, array in self._world.host.items():
            np.copyto(array, world[name])
        self._world.upload(self._stream.handle)

    def _run(self, index: int, view: View) -> None:
        self._stream.launch(self._captured[index][view])

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
        """What the first runs of the engines left in the buffers goes."""
        for slab in self._state:
            for array in slab.host.values():
                array[:] = 0
            slab.upload(self._stream.handle)
        self._stream.wait(TIMEOUT_S)


def fitting_library(note: EngineNote) -> Any:
    """The library that built the plans, in the same version, on a GPU that they were built for.

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
