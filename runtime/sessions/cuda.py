"""CUDA from Python without torch: the few calls that a session needs, each checked.

All memory is allocated once, before the robot moves. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import BackendError, MissingExtraError

try:
    from cuda.bindings import runtime as cudart
except ImportError:  # needed only for NVIDIA GPUs
    cudart = None

_ALIGNMENT = 256


def compute_capability() -> str:
    """Architecture of this machine's first GPU, e.g. ``sm89``.

    Raises:
        MissingExtraError: cuda-bindings is not installed.
        BackendError: there is no working GPU.
    """
    if cudart is None:
        raise MissingExtraError("cuda-bindings", "trt", "TensorRT")
    status, count = cudart.cudaGetDeviceCount()
    if status != cudart.cudaError_t.cudaSuccess or count == 0:
        raise BackendError(
            f"this machine has no NVIDIA GPU that works ({_name(status)}), and a plan runs only on the GPU "
            "it was built for: run the .onnx file here, or run the plan on a machine with that GPU"
        )
    attribute = cudart.cudaDeviceAttr
    major = call(cudart.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMajor, 0)
    minor = call(cudart.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMinor, 0)
    return f"sm{major}{minor}"


def call(function: Any, *arguments: Any) -> Any:
    """Call the CUDA runtime; return the result of the call, if it has one.

    Raises:
        BackendError: the call failed; the message has CUDA's name for the error.
    """
    status, *results = function(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        raise BackendError(f"CUDA: {function.__name__} failed with {_name(status)}")
    return results[0] if results else None


def _name(status: Any) -> str:
    return str(getattr(status, "name", status))


class Slab:
    """Arrays that are copied together: one pinned block on the host, one block on the device, one copy for all arrays.

    Args:
        arrays: example arrays with the wanted shape and element type, by name.

    Attributes:
        host: views into the pinned block, by name.
        device: addresses on the device, by name.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        offsets, self._size = {}, 0
        for name, array in arrays.items():
            offsets[name] = self._size
            self._size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._pinned = call(cudart.cudaMallocHost, self._size)
        self._device = call(cudart.cudaMalloc, self._size)
        block = np.ctypeslib.as_array((ctypes.c_uint8 * self._size).from_address(int(self._pinned)))
        block[:] = 0
        self.host = {
            name: block[offsets[name] : offsets[name] + array.nbytes].view(array.dtype).reshape(array.shape)
            for name, array in arrays.items()
        }
        self.device = {name: int(self._device) + offset for name, offset in offsets.items()}

    def upload(self, stream: Any) -> None:
        """Copy from host to device, in the order of the stream."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        call(cudart.cudaMemcpyAsync, self._device, self._pinned, self._size, kind, stream)

    def download(self, stream: Any) -> None:
        """Copy from device to host, in the order of the stream."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call(cudart.cudaMemcpyAsync, self._pinned, self._device, self._size, kind, stream)

    def close(self) -> None:
        """Free both blocks; the views must not be used any more."""
        call(cudart.cudaFreeHost, self._pinned)
        call(cudart.cudaFree, self._device)


class Stream:
    """A separate CUDA stream, with a wait that has a time limit."""

    def __init__(self) -> None:
        self.handle = call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self._event = call(cudart.cudaEventCreateWithFlags, cudart.cudaEventDisableTiming)

    def wait(self, timeout_s: float) -> None:
        """Return when everything on the stream is done.

        Raises:
            BackendError: the stream was not done in time, or failed.
        """
        call(cudart.cudaEventRecord, self._event, self.handle)
        deadline = time.monotonic() + timeout_s
        while True:
            (status,) = cudart.cudaEventQuery(self._event)
            if status == cudart.cudaError_t.cudaSuccess:
                return
            if status != cudart.cudaError_t.cudaErrorNotReady:
                raise BackendError(f"CUDA: the stream failed with {_name(status)}")
            if time.monotonic() > deadline:
                raise BackendError(f"CUDA: the GPU did not answer within {timeout_s} s")

    def capture(self, enqueue: Callable[[], None]) -> Captured:
        """Record the work that ``enqueue`` puts on the stream, so that it can be launched again and again."""
        call(cudart.cudaStreamBeginCapture, self.handle, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            enqueue()
        finally:  # the capture must end also after an error
            graph = call(cudart.cudaStreamEndCapture, self.handle)
        executable = call(cudart.cudaGraphInstantiate, graph, 0)
        call(cudart.cudaGraphDestroy, graph)
        return Captured(executable, self.handle)

    def close(self) -> None:
        """Destroy the stream."""
        call(cudart.cudaEventDestroy, self._event)
        call(cudart.cudaStreamDestroy, self.handle)


class Captured:
    """A CUDA graph that is ready to be launched.

    Attributes:
        keep: object that must live as long as the graph.
    """

    def __init__(self, executable: Any, stream: Any) -> None:
        self._executable, self._stream = executable, stream
        self.keep: Any = None

    def launch(self) -> None:
        """Put the graph on its stream."""
        call(cudart.cudaGraphLaunch, self._executable, self._stream)

    def close(self) -> None:
        """Destroy the graph."""
        call(cudart.cudaGraphExecDestroy, self._executable)
