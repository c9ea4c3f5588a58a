"""One graph of a model as a separate module: named tensors become positional, in the order of its `GraphSpec`."""

from __future__ import annotations

from torch import Tensor, nn

from dmh_edge.contract import GraphSpec
from dmh_edge.models.policy_model import PolicyModel


class StepGraph(nn.Module):
    """One graph as a pure function of one tick.

    Args:
        model: model that computes the graph.
        graph: spec of the graph.
    """

    def __init__(self, model: PolicyModel, graph: GraphSpec) -> None:
        super().__init__()
        self.model = model
        self.graph = graph

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute the tensors in the order of ``graph.outputs`` from those in the order of ``graph.inputs``."""
        results = self.model.step(self.graph.name, dict(zip(self.graph.inputs, tensors, strict=True)))
        return tuple(results[name] for name in self.graph.outputs)
