"""The contract that travels with a policy: what it observes, what it does, and which graphs compute it.

    TaskSpec         filled by a task; saved with data and checkpoints     observation, action, rate, limits, reward
    GraphSpec        filled by a model                                     one graph: schedule and tensors
    PolicyContract   joined by the export; saved as model.json             both, with hashes, provenance and parity

Shapes are tuples whose entries are sizes or ``"batch"``, the number of independent robots.
Reading checks everything: an unknown version or field is an error that names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dmh_edge.errors import ContractError, unknown
from dmh_edge.files import write_text
from dmh_edge.schema import Spec, parse
from dmh_edge.task import TaskSpec

CONTRACT_NAME = "model.json"
GOLDEN_TRACE_NAME = "model.trace.npz"

DType = Literal["float32", "float16", "int64", "bool"]
#: Element type of the matrix products; everything that is sensitive to rounding stays float32. See
#: ``export/precision.py``.
Precision = Literal["float32", "float16"]
Dimension = int | Literal["batch"]


class TensorSpec(Spec):
    """Name, element type and shape of one tensor."""

    name: str
    """Name of the tensor, unique within the policy."""
    dtype: DType
    """Element type."""
    shape: tuple[Dimension, ...]
    """Sizes; exactly one entry is ``"batch"``."""

    @model_validator(mode="after")
    def _one_batch_axis(self) -> TensorSpec:
        if self.shape.count("batch") != 1:
            raise ValueError(f"tensor {self.name!r}: shape {self.shape} needs exactly one batch axis")
        return self

    @property
    def batch_axis(self) -> int:
        """Index of the axis that counts the robots."""
        return self.shape.index("batch")

    def zeros(self, batch: int) -> NDArray[Any]:
        """A zero array of this spec for ``batch`` robots."""
        return np.zeros([batch if size == "batch" else size for size in self.shape], self.dtype)


class GraphSpec(Spec):
    """One pure graph: which tensors it reads and writes, and when it is due.

    It reads world tensors and state tensors, and writes outputs and, as ``x_next``, state tensors ``x``.
    """

    name: str
    """Name of the graph, e.g. ``actor`` or ``memory``."""
    file: str
    """ONNX file in the policy's folder; the engine beside it has the suffix ``.plan``."""
    every: int = Field(default=1, ge=1)
    """Ticks from one run of the graph to the next; each robot's ticks are counted separately."""
    restart_on: Literal["episode_start"] | None = None
    """Input that restarts the count of ticks: the graph runs on a tick where this input is true, and the count starts
    again there. None for a graph that runs on every tick."""
    inputs: tuple[str, ...] = Field(min_length=1)
    """World tensors and state tensors, in the graph's order."""
    outputs: tuple[str, ...] = Field(min_length=1)
    """Outputs, and state tensors with ``_next`` after their name, in the graph's order."""

    @model_validator(mode="after")
    def _a_slow_graph_restarts(self) -> GraphSpec:
        if self.every > 1 and self.restart_on is None:
            raise ValueError(f"graph {self.name!r} is due every {self.every} ticks, so it needs restart_on")
        return self

    @property
    def engine_file(self) -> str:
        """Name of the TensorRT engine."""
        return str(Path(self.file).with_suffix(".plan"))

    @property
    def writes(self) -> tuple[str, ...]:
        """State tensors that this graph updates."""
        return tuple(name.removesuffix("_next") for name in self.outputs if name.endswith("_next"))


class ModelSpec(Spec):
    """The model's part of a contract: its tensors and its graphs."""

    kind: str
    """Kind of model, e.g. ``dm-h``."""
    sizes: dict[str, int | float | str | bool]
    """Configuration of the model, for people; the runtime does not read it."""
    world: tuple[TensorSpec, ...]
    """Tensors that the host feeds on every tick."""
    state: tuple[TensorSpec, ...]
    """Tensors that are carried from tick to tick; all zeros when the policy has forgotten everything."""
    outputs: tuple[TensorSpec, ...]
    """Tensors that a tick computes besides the next state; the first one is ``action``."""
    graphs: tuple[GraphSpec, ...] = Field(min_length=1)
    """Graphs in the order in which a tick runs them."""

    @model_validator(mode="after")
    def _graphs_use_declared_tensors(self) -> ModelSpec:
        names = [spec.name for spec in (*self.world, *self.state, *self.outputs)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two tensors are called {', '.join(sorted(twice))}")
        state = {spec.name for spec in self.state}
        readable = state | {spec.name for spec in self.world}
        writable = {spec.name for spec in self.outputs} | {f"{name}_next" for name in state}
        written: set[str] = set()
        for graph in self.graphs:
            for name in graph.inputs:
                if name not in readable:
                    raise ValueError(f"graph {graph.name!r} reads a tensor that is not declared: {name!r}")
            for name in graph.outputs:
                if name not in writable:
                    raise ValueError(f"graph {graph.name!r} writes a tensor that is not declared: {name!r}")
                if name in written:
                    raise ValueError(f"two graphs write {name!r}")
                written.add(name)
        if missing := writable - written:
            raise ValueError(f"no graph writes {', '.join(sorted(missing))}")
        return self

    def tensor(self, name: str) -> TensorSpec:
        """The spec of a graph's input or output; for ``x_next``, the spec of ``x`` under the name ``x_next``."""
        for spec in (*self.world, *self.state, *self.outputs):
            if spec.name == name:
                return spec
            if f"{spec.name}_next" == name:
                return spec.model_copy(update={"name": name})
        raise ContractError(
            unknown(
                "tensor",
                name,
                [spec.name for spec in (*self.world, *self.state, *self.outputs)],
            )
        )


class Provenance(Spec):
    """Where a policy comes from."""

    code_version: str
    """Version of dmh-edge that exported it."""
    config: dict[str, Any]
    """The run's configuration, in the form that ``dmh-edge train --config`` accepts."""
    checkpoint: str
    """The checkpoint, as the user named it to the export."""
    weights_sha256: str
    """Digest of the checkpoint's weights."""
    data_sha256: str
    """Digest of the data set that it was trained on."""
    training_steps: int = Field(ge=0)
    """Gradient steps of the checkpoint's training."""


#: Largest allowed distance of a policy's tensors in float32 from the same tensors in float64. A float32 backend is
#: allowed ten times this distance from PyTorch, and a float16 backend a hundred times.
MOST_ROUNDING = 2e-4


class ParityFigure(Spec):
    """How far one computation is from another over a free-running rollout."""

    reference: str
    """The side that is taken as right, e.g. ``torch step float32``."""
    candidate: str
    """The side that is compared with it, e.g. ``ort-cpu``."""
    ticks: int = Field(ge=1)
    """Length of the rollout in ticks."""
    worst_tensor: str
    """The tensor that came nearest to its tolerance."""
    worst_error: float = Field(ge=0)
    """Largest absolute difference of that tensor, divided by max(1, max|tensor|)."""
    tolerance: float = Field(gt=0)
    """Largest allowed value of ``worst_error``."""


class PolicyContract(Spec):
    """All that a robot must know about a policy. It never changes after the export."""

    format_version: Literal[1] = 1
    """Version of this format; raised with every change that an older reader would misunderstand."""
    name: str
    """The policy's name; the ONNX files carry it too."""
    precision: Precision = "float32"
    """Element type of the matrix products."""
    task: TaskSpec
    """Task that the policy was trained for."""
    model: ModelSpec
    """Tensors and graphs that compute the policy."""
    files: dict[str, str]
    """SHA-256 of every other file of the policy, by file name."""
    provenance: Provenance
    """Where the policy comes from."""
    rounding: dict[str, Annotated[float, Field(ge=0, le=MOST_ROUNDING)]] = Field(default={})
    """Distance of each tensor in float32 from the same tensor in float64, both computed by PyTorch, in the unit of the
    parity figures."""
    parity: tuple[ParityFigure, ...] = ()
    """Parity that the export measured."""

    def save(self, folder: Path) -> None:
        """Write ``model.json``, whole or not at all."""
        write_text(folder / CONTRACT_NAME, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> PolicyContract:
        """Read and check ``model.json`` in a folder.

        Raises:
            ContractError: it is missing, is not JSON, has another version, or has a missing, wrong or unknown field.
        """
        path = folder / CONTRACT_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"{path} cannot be read ({error}); is {folder} a folder made by export?") from error
        return parse(cls, text, str(path))
