"""The reference session: the model itself, stepped by PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmh_edge.contract import PolicyContract
from dmh_edge.export.step_graph import StepGraph
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.buffered import BufferedSession, View
from dmh_edge.runtime.sessions.session import Arrays


class TorchSession(BufferedSession):
    """A policy stepped by PyTorch, on the model's device and in its element type.

    Args:
        model: the model; it is set to evaluation mode.
        contract: contract that the model was exported with, or would be.
        batch: number of robots, B.
    """

    def __init__(self, model: PolicyModel, contract: PolicyContract, batch: int = 1) -> None:
        super().__init__(contract, batch)
        model.eval()
        parameter = next(model.parameters())
        self._device, self._float = parameter.device, parameter.dtype
        self._steps = [StepGraph(model, graph) for graph in contract.model.graphs]
        self._world: dict[str, Tensor] = {}
        self._results: dict[str, NDArray[Any]] = {}
        self._state = {spec.name: [self._tensor(spec.zeros(batch)) for _ in range(2)] for spec in contract.model.state}

    @property
    def backend(self) -> str:
        """The name of the backend, ``torch``."""
        return "torch"

    def _feed(self, world: Arrays) -> None:
        self._world = {spec.name: self._tensor(world[spec.name]) for spec in self.contract.model.world}
        self._results = {}

    @torch.inference_mode()
    def _run(self, index: int, view: View) -> None:
        graph = self.contract.model.graphs[index]
        newest = {name: pair[view[self._writer[name]]] for name, pair in self._state.items()} | self._world
        for name, tensor in zip(
            graph.outputs, self._steps[index](*(newest[name] for name in graph.inputs)), strict=True
        ):
            if name.endswith("_next"):
                self._state[name.removesuffix("_next")][1 - view[index]] = tensor
            else:
                self._results[name] = tensor.cpu().numpy()

    def _outputs(self) -> Arrays:
        return self._results

    def _get(self, name: str, buffer: int) -> NDArray[Any]:
        return self._state[name][buffer].cpu().numpy()

    def _set(self, name: str, buffer: int, array: NDArray[Any]) -> None:
        self._state[name][buffer] = self._tensor(array)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.array(array)).to(self._device)
        return tensor.to(self._float) if tensor.is_floating_point() else tensor
