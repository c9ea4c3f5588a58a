"""Our Mamba block beside those that a user without a CUDA GPU could take instead, with the same weights, on the CPU.

    name            what it is
    mambapy         MambaBlock with its parallel scan (Blelloch) over padded powers of two
    transformers    MambaMixer's path without kernels: a loop over time, unrolled by autograd

In each turn every block runs one forward and one backward pass, one block after the other, so that a slow moment of the
machine affects all of them. Before anything is timed, outputs and gradients must agree.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor, nn

from dmh_edge.errors import ConfigError, DmhEdgeError, MissingExtraError, unknown
from dmh_edge.models.mamba import MambaBlock, MambaSizes
from dmh_edge.progress import Progress
from dmh_edge.schema import Spec

OURS = "dmh-edge"
RIVALS = ("mambapy", "transformers")

#: Largest difference of an output or a gradient that rounding explains, relative to the largest number in it.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Sizes:
    """Sizes of a block and of its input."""

    name: str
    batch: int
    tokens: int
    block: MambaSizes

    def __str__(self) -> str:
        block = self.block
        return (
            f"{self.name}: batch {self.batch}, {self.tokens:,} tokens, width {block.width}, expand {block.expand}, "
            f"conv {block.conv_size}, state {block.state_size}"
        )


@dataclass(frozen=True)
class MambaTimes:
    """Times of each side, ours and the rivals, at some sizes.

    Attributes:
        sizes: sizes of block and input.
        threads: number of threads of PyTorch.
        seconds: times of the forward and the backward pass in every turn, in seconds, by side.
    """

    sizes: Sizes
    threads: int
    seconds: dict[str, list[tuple[float, float]]]

    def ratio(self, side: str, of: Callable[[Sequence[float]], float]) -> float:
        """Return how many times as long as ours a side takes, forward and backward pass together."""
        theirs, ours = (of([forward + backward for forward, backward in self.seconds[name]]) for name in (side, OURS))
        return theirs / ours

    def table(self) -> Table:
        """Return the times as a table."""
        turns = len(self.seconds[OURS])
        title = f"one Mamba block, {self.sizes}, threads: {self.threads}, turns: {turns}"
        table = Table(title=title, title_justify="left")
        table.add_column("side")
        for heading in ("forward, ms: median", "min", "backward, ms: median", "min", "both, ratio: median", "of min"):
            table.add_column(heading, justify="right")
        for side, turns_of_side in self.seconds.items():
            figures = [f"{of(way) * 1e3:.1f}" for way in zip(*turns_of_side, strict=True) for of in _OF]
            table.add_row(side, *figures, *(f"{self.ratio(side, of):.2f}" for of in _OF))
        return table


_OF: tuple[Callable[[Sequence[float]], float], ...] = (statistics.median, min)


def installed(wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the wanted rivals, or of all that are installed if none is named.

    Raises:
        ConfigError: a wanted name is not in `RIVALS`.
        MissingExtraError: a wanted rival is not installed.
    """
    for name in wanted:
        if name not in RIVALS:
            raise ConfigError(unknown("Mamba", name, RIVALS))
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(name, "bench", "the comparison")
    return tuple(wanted) or tuple(name for name in RIVALS if importlib.util.find_spec(name) is not None)


def sizes(model: Spec, batch: int, tokens: int) -> tuple[Sizes, ...]:
    """Return the model's sizes, if it has a Mamba, and the paper's, if they differ, with the same batch and length."""
    of: dict[str, MambaSizes] = {"the paper's sizes": MambaSizes()}
    if isinstance(model, MambaSizes):
        of["the model's sizes"] = model
    timed = {"width", "expand", "conv_size", "state_size"}
    found = {MambaSizes(**config.model_dump(include=timed)): name for name, config in of.items()}
    return tuple(Sizes(name, batch, tokens, block) for block, name in reversed(found.items()))


def compare(sizes: Sizes, rivals: Sequence[str], turns: int, progress: Progress) -> MambaTimes:
    """Time our block and the rivals at some sizes.

    Args:
        sizes: sizes of block and input.
        rivals: names from `RIVALS`.
        turns: number of forward and backward passes of each side.
        progress: called after each turn.

    Raises:
        DmhEdgeError: a rival that has our weights computes something else.
    """
    torch.manual_seed(0)
    ours = MambaBlock(sizes.block)
    sides: dict[str, nn.Module] = {OURS: ours} | {name: _BUILD[name](sizes.block) for name in rivals}
    for side in sides.values():
        side.load_state_dict(ours.state_dict())
    u = torch.randn(sizes.batch, sizes.tokens, sizes.block.width, requires_grad=True)
    weight = torch.randn(u.shape)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(1 + turns):  # the first turn warms up and checks
        expected: list[Tensor] = []
        for name, side in sides.items():
            began = time.perf_counter()
            y = side(u)
            between = time.perf_counter()
            parameters = [parameter for _, parameter in sorted(side.named_parameters())]
            gradients = torch.autograd.grad((y * weight).sum(), (u, *parameters))
            ended = time.perf_counter()
            if turn > 0:
                seconds[name].append((between - began, ended - between))
            elif not expected:
                expected = [y.detach(), *gradients]
            else:
                _require_equal(name, sizes, [y.detach(), *gradients], expected)
            del y, gradients  # before the next side asks for memory
        progress(f"turns, {sizes.name}", turn, turns)
    return MambaTimes(sizes, torch.get_num_threads(), seconds)


def _require_equal(name: str, sizes: Sizes, theirs: list[Tensor], ours: list[Tensor]) -> None:
    worst = max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(theirs, ours, strict=True))
    if not worst <= TOLERANCE:
        raise DmhEdgeError(
            f"{name} with our weights differs by {worst:.1e} of the largest number, expected at most {TOLERANCE:.0e} "
            f"({sizes}); its times cannot be compared"
        )


def _mambapy(sizes: MambaSizes) -> nn.Module:
    from mambapy.mamba import MambaBlock as Block
    from mambapy.mamba import MambaConfig

    config = MambaConfig(
        d_model=sizes.width,
        n_layers=1,
        d_state=sizes.state_size,
        expand_factor=sizes.expand,
        d_conv=sizes.conv_size,
    )
    block: nn.Module = Block(config)
    return block


def _transformers(sizes: MambaSizes) -> nn.Module:
    import transformers
    from transformers.models.mamba.modeling_mamba import MambaMixer

    transformers.logging.set_verbosity_error()  # it warns at every call that its CUDA kernels are missing
    config = transformers.MambaConfig(
        hidden_size=sizes.width,
        num_hidden_layers=1,
        state_size=sizes.state_size,
        expand=sizes.expand,
        conv_kernel=sizes.conv_size,
    )
    block: nn.Module = MambaMixer(config, layer_idx=0)
    return block


_BUILD: dict[str, Callable[[MambaSizes], nn.Module]] = {"mambapy": _mambapy, "transformers": _transformers}
