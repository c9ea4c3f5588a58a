"""Backbones, the memory of a sequence model from step to step: attention over a window, a Mamba state, or none.

    symbol  name
    R       sequences in training
    B       robots in deployment
    T       steps of a sequence
    G       tokens of a step; the answer is read at the last of them
    d       width

Each backbone has ``forward`` for whole sequences, and ``step`` for one tick with its state as named tensors. An empty
memory is a state of all zeros.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dmh_edge.contract import Precision, TensorSpec
from dmh_edge.models.layers import Linear
from dmh_edge.models.mamba import Mamba
from dmh_edge.models.policy_model import Tensors
from dmh_edge.models.transformer import Rotation, Transformer, penalty


class Backbone(nn.Module, ABC):
    """Base class of the backbones."""

    @abstractmethod
    def forward(self, tokens: Tensor, start: Tensor) -> Tensor:
        """Read whole sequences: ``[R, T, G, d] -> [R, T, d]``; ``start`` ``[R, T]`` is true where an episode begins."""

    @abstractmethod
    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:
        """Compute one tick: from ``[B, G, d]``, world and state to the answer ``[B, d]`` and the next state."""

    @abstractmethod
    def state(self, precision: Precision) -> tuple[TensorSpec, ...]:
        """Return the specs of the state tensors."""


class Recurrent(Backbone):
    """Mamba: the state has one size, no matter how many steps came before.

    Args:
        mamba: the layers.
        across_episodes: whether the state is kept when an episode ends. If not, each sequence of `forward` is one
            episode.
    """

    def __init__(self, mamba: Mamba, across_episodes: bool) -> None:
        super().__init__()
        self.mamba = mamba
        self.across_episodes = across_episodes

    def forward(self, tokens: Tensor, start: Tensor) -> Tensor:  # noqa: ARG002 (attention needs it)
        """``[R, T, G, d] -> [R, T, d]``; ``start`` is not used."""
        read: Tensor = self.mamba(tokens.flatten(1, 2))
        return read.view(tokens.shape)[:, :, -1]

    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:
        """``[B, G, d] -> [B, d]``."""
        conv, ssm = tensors["mamba_conv"], tensors["mamba_ssm"]
        if not self.across_episodes:  # the committed state is finite, so a factor of 0 clears it
            kept = (~tensors["episode_start"]).to(ssm.dtype)[:, None, None]  # against [layers, B, ., .]
            conv, ssm = conv * kept, ssm * kept
        read, conv, ssm = self.mamba.step(tokens, conv, ssm)
        return read[:, -1], {"mamba_conv": conv, "mamba_ssm": ssm}

    def state(self, precision: Precision) -> tuple[TensorSpec, ...]:  # noqa: ARG002 (it caches nothing)
        """Return the specs of the convolutions' last inputs and of the scans' states."""
        return self.mamba.state("mamba")


class Attentive(Backbone):
    """A transformer that sees a window: of the last ``steps`` steps, those in the last ``episodes`` episodes.

    Training masks exactly what deployment has dropped. The keys and values of the window are kept in a ring buffer of
    ``steps`` slots with G tokens each. Each slot also counts in how many more episodes it will be seen; the count is 0
    for a slot that is empty or too old.

    Positions are angles on a circle of twice as many steps as the window. So no counter grows without limit, and two
    steps that see each other are always less than half a turn apart.

    Args:
        transformer: the layers.
        steps, episodes: size of the window.
        tokens: tokens per step, G.
    """

    def __init__(self, transformer: Transformer, steps: int, episodes: int, tokens: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.steps = steps
        self.episodes = episodes
        self.tokens = tokens
        pairs = transformer.head_width // 2
        # Frequencies are whole turns per circle, so that the table is periodic: from one turn to one per four steps.
        turns = torch.logspace(0, math.log10(max(1.0, steps / 2)), pairs, dtype=torch.float64).round()
        angle = torch.arange(2 * steps, dtype=torch.float64)[:, None] * turns * (math.pi / steps)  # [2 steps, pairs]
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    cosine: Tensor
    sine: Tensor

    def forward(self, tokens: Tensor, start: Tensor) -> Tensor:
        """``[R, T, G, d] -> [R, T, d]``."""
        step = torch.arange(tokens.shape[1], device=tokens.device)[None]  # [1, T]
        if self.episodes == 1:  # counted from 0 in each episode, as in `step`
            step = step - torch.where(start, step, 0).cummax(1).values
        rotation = self._rotation(torch.remainder(step, 2 * self.steps))
        answers = slice(self.tokens - 1, None, self.tokens)
        return self.transformer(tokens.flatten(1, 2), answers, self._visible(start), rotation)  # type: ignore[no-any-return]

    def _visible(self, start: Tensor) -> Tensor | None:
        """Return which tokens each token sees, ``[R, 1, TG, TG]``; None if each sees itself and all before it."""
        episode = start.long().cumsum(1)  # [R, T]
        count = start.shape[1]
        if count <= self.steps and int(episode[:, -1].max()) <= self.episodes:
            return None
        step = torch.arange(count, device=start.device)
        ago = step[:, None] - step  # [T, T]
        visible = (ago >= 0) & (ago < self.steps) & (episode[:, :, None] - episode[:, None] < self.episodes)
        visible = visible.repeat_interleave(self.tokens, 1).repeat_interleave(self.tokens, 2)
        token = torch.arange(count * self.tokens, device=start.device)
        return (visible & (token <= token[:, None])).unsqueeze(1)

    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:
        """``[B, G, d] -> [B, d]``."""
        start, place, life = tensors["episode_start"], tensors["place"], tensors["life"]  # [B], [B], [B, steps]
        if self.episodes == 1:  # no earlier step is visible, so every episode can begin at place 0
            place = torch.where(start, 0, place)
        life = life - (start[:, None] & (life > 0)).long()
        ring = torch.arange(self.steps, device=place.device)
        here = ring == torch.remainder(place, self.steps)[:, None]  # [B, steps]; the old content has left the window
        older = ((life > 0) & ~here).repeat_interleave(self.tokens, 1)  # [B, steps * G]
        within = torch.arange(self.tokens, device=place.device)
        newer = (within <= within[:, None]).expand(place.shape[0], -1, -1)  # [B, G, G]
        visible = torch.cat([older[:, None].expand(-1, self.tokens, -1), newer], -1)
        slots = self.tokens * torch.remainder(place, self.steps)[:, None] + within  # [B, G]
        rotation = self._rotation(place[:, None])
        read, key, value = self.transformer.step(
            tokens, penalty(visible).to(tokens.dtype), slots, tensors["key"], tensors["value"], rotation
        )
        return read, {
            "place": torch.remainder(place + 1, 2 * self.steps),
            "life": torch.where(here, self.episodes, life),
            "key": key,
            "value": value,
        }

    def state(self, precision: Precision) -> tuple[TensorSpec, ...]:
        """Return the specs of the ring buffer, of its slots' remaining episodes, and of the next step's place."""
        transformer = self.transformer
        shape = (len(transformer.blocks), "batch", transformer.heads, self.steps * self.tokens, transformer.head_width)
        return (
            TensorSpec(name="place", dtype="int64", shape=("batch",)),
            TensorSpec(name="life", dtype="int64", shape=("batch", self.steps)),
            TensorSpec(name="key", dtype=precision, shape=shape),
            TensorSpec(name="value", dtype=precision, shape=shape),
        )

    def _rotation(self, place: Tensor) -> Rotation:
        """Return cosine and sine of each token; a step's G tokens share a place: ``[B, T] -> [B, 1, TG, d/H/2]``."""
        place = place.repeat_interleave(self.tokens, 1)
        return self.cosine[place].unsqueeze(1), self.sine[place].unsqueeze(1)


class Memoryless(Backbone):
    """A residual perceptron without memory: an answer depends only on its own step.

    Args:
        layers: number of blocks.
        width: width of the tokens, d.
        dropout: dropout after each block.
    """

    def __init__(self, layers: int, width: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                Linear(width, 4 * width),
                nn.ReLU(),
                Linear(4 * width, width),
                nn.Dropout(dropout),
            )
            for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, start: Tensor) -> Tensor:  # noqa: ARG002 (attention needs it)
        """``[R, T, G, d] -> [R, T, d]``."""
        return self._read(tokens[:, :, -1])

    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:  # noqa: ARG002
        """``[B, G, d] -> [B, d]``."""
        return self._read(tokens[:, -1]), {}

    def state(self, precision: Precision) -> tuple[TensorSpec, ...]:  # noqa: ARG002
        """Return no specs: there is no state."""
        return ()

    def _read(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        normed: Tensor = self.final_norm(x)
        return normed
