"""The two halves of DM-H, and its sizes. Symbols as in `dmh`.

Where the paper and its released code differ, the field's description in `DMHConfig` says so.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dmh_edge.models.encoding import ActionCodec, Levels
from dmh_edge.models.layers import Linear
from dmh_edge.models.mamba import Mamba, MambaSizes
from dmh_edge.models.transformer import Transformer, penalty


class DMHConfig(MambaSizes):
    """Sizes of a DM-H policy; the defaults are the paper's."""

    kind: Literal["dm-h"] = "dm-h"
    """Which model this is."""
    width: int = Field(default=128, ge=1)
    """d, of memory and actor alike."""
    chunk: int = Field(default=20, ge=1)
    """c: steps under one sub-goal."""
    subgoal_size: int = Field(default=16, ge=1)
    """Z. The released code takes the size of the observation."""
    subgoal_noise: float = Field(default=1.0, ge=0)
    """A sub-goal's deviation is multiplied by this: 1 as in the paper; with 0 it is not drawn, but its mean."""
    memory_layers: int = Field(default=2, ge=1)
    """Mamba blocks."""
    actor_layers: int = Field(default=3, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; the paper's 3 do not divide its width of 128."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the actor."""
    return_conditioned: bool = True
    """Whether the memory reads the return-to-go: the paper's equation 2 has none, its table and code do."""
    subgoal_weight: float = Field(default=0.5, ge=0)
    """w: weight of the loss under the valuable sub-goal; the code's 0.5, where the paper averages plainly."""
    reward_scale: float = Field(default=1.0, gt=0)
    """Rewards and return-to-go are divided by this."""
    levels: Levels = "one-hot"
    """How whole-number observations are read."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> DMHConfig:
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide width = {self.width}")
        return self


class Memory(nn.Module):
    """Mamba over one group of tokens per chunk: r_prev, d_prev, return-to-go, observation."""

    def __init__(self, config: DMHConfig, features: int) -> None:
        super().__init__()
        self.reward_scale = config.reward_scale
        self.subgoal_size = config.subgoal_size
        self.subgoal_noise = config.subgoal_noise
        self.reward_token = Linear(1, config.width)
        self.start_token = Linear(1, config.width)
        self.return_token = Linear(1, config.width) if config.return_conditioned else None
        self.observation_token = Linear(features, config.width)
        self.token_norm = nn.LayerNorm(config.width)
        self.mamba = Mamba(config.memory_layers, config)
        self.head = Linear(config.width, 2 * config.subgoal_size)

    def forward(self, features: Tensor, previous: Tensor, start: Tensor, to_go: Tensor, noise: Tensor) -> Tensor:
        """Sub-goals ``[B, J, Z]`` of all chunks.

        Args:
            features: ``[B, J, E]`` at each chunk's first step.
            previous: r_prev ``[B, J]``.
            start: d_prev, bool ``[B, J]``.
            to_go: g ``[B, J]``.
            noise: ``[B, J, Z]``.
        """
        groups = self._groups(features, previous, start, to_go)  # [B, J, G, d]
        batch, chunks, group, width = groups.shape
        read = self.mamba(groups.reshape(batch, chunks * group, width))
        return self._subgoal(read.view(batch, chunks, group, width)[:, :, -1], noise)

    def step(
        self, features: Tensor, previous: Tensor, start: Tensor, to_go: Tensor, noise: Tensor, conv: Tensor, ssm: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One chunk's sub-goal ``[B, Z]``; arguments as in `forward` without J, then the states of `Mamba.step`."""
        read, conv, ssm = self.mamba.step(self._groups(features, previous, start, to_go), conv, ssm)
        return self._subgoal(read[:, -1], noise), conv, ssm

    def _groups(self, features: Tensor, previous: Tensor, start: Tensor, to_go: Tensor) -> Tensor:
        """One group of tokens per chunk, ``[..., G, d]``."""
        tokens = [
            self.reward_token(previous.unsqueeze(-1) / self.reward_scale),
            self.start_token(start.unsqueeze(-1).to(features.dtype)),
            self.observation_token(features),
        ]
        if self.return_token is not None:
            tokens.insert(2, self.return_token(to_go.unsqueeze(-1) / self.reward_scale))
        normed: Tensor = self.token_norm(torch.stack(tokens, -2))
        return normed

    def _subgoal(self, read: Tensor, noise: Tensor) -> Tensor:
        """z = mu + sigma * noise, scaled: ``[..., d] -> [..., Z]``."""
        mean, log_variance = torch.tanh(self.head(read)).chunk(2, -1)
        if self.subgoal_noise != 1:
            noise = self.subgoal_noise * noise
        return mean + torch.exp(log_variance / 2) * noise


class Actor(nn.Module):
    """Transformer over the tokens z, s, a, r of each step of one chunk; the action is read at s."""

    def __init__(self, config: DMHConfig, features: int, codec: ActionCodec) -> None:
        super().__init__()
        self.reward_scale = config.reward_scale
        self.codec = codec
        self.slots = 4 * config.chunk
        self.subgoal_token = Linear(config.subgoal_size, config.width)
        self.observation_token = Linear(features, config.width)
        self.action_token = Linear(codec.size, config.width)
        self.reward_token = Linear(1, config.width)
        # Which slots the four new tokens of a step take, and what they see, depends on the step's place in the chunk
        # alone: looked up in two tables, it costs a tick a few operators instead of a score.
        slots, visible = _places(config.chunk)
        self.register_buffer("slots_at", slots, persistent=False)
        self.register_buffer("penalty_at", penalty(visible), persistent=False)
        self.position = nn.Parameter(0.02 * torch.randn(self.slots, config.width))
        self.token_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(config.actor_layers, config.width, config.heads, config.dropout)
        self.head = Linear(config.width, codec.size)

    slots_at: Tensor
    penalty_at: Tensor

    def forward(self, subgoal: Tensor, features: Tensor, action: Tensor, reward: Tensor) -> Tensor:
        """Logits, or tanh outputs, at every step of N chunks: ``[N, c, A]``. Where no chunk is full, c may be less.

        Args:
            subgoal: ``[N, Z]``.
            features: ``[N, c, E]``.
            action: ``[N, c, A]`` or ``[N, c]``.
            reward: ``[N, c]``.
        """
        chunk = features.shape[1]
        tokens = [
            self.subgoal_token(subgoal).unsqueeze(1).expand(-1, chunk, -1),
            self.observation_token(features),
            *self._outcome(action, reward, features.dtype),
        ]
        sequence = torch.stack(tokens, 2).flatten(1, 2)  # [N, 4c, d]
        read = self.transformer(self.dropout(self.token_norm(sequence + self.position[: 4 * chunk])), slice(1, None, 4))
        return self._answer(read)

    def step(
        self,
        subgoal: Tensor,
        features: Tensor,
        action: Tensor,
        reward: Tensor,
        place: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step's answer ``[B, A]``.

        Args:
            subgoal: ``[B, Z]``.
            features: ``[B, E]``.
            action: action of the step before, ``[B, A]`` or ``[B]``.
            reward: reward of the step before, ``[B]``.
            place: int64 ``[B]``, which step of the chunk this is. Where it is 0 there is no step before: its tokens go
                to the last two slots, which no query reads.
            key, value: caches of `Transformer.step` with 4c slots.
        """
        tokens = [
            *self._outcome(action, reward, features.dtype),
            self.subgoal_token(subgoal),
            self.observation_token(features),
        ]
        slots = self.slots_at[place]  # [B, 4]
        sequence = self.token_norm(torch.stack(tokens, 1) + self.position[slots])  # [B, 4, d]
        read, key, value = self.transformer.step(sequence, self.penalty_at[place], slots, key, value)
        return self._answer(read), key, value

    def _outcome(self, action: Tensor, reward: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Tokens of an action and the reward that followed it."""
        return (
            self.action_token(self.codec.encode(action, dtype)),
            self.reward_token(reward.unsqueeze(-1) / self.reward_scale),
        )

    def _answer(self, read: Tensor) -> Tensor:
        answer: Tensor = self.head(read)
        return answer if self.codec.discrete else torch.tanh(answer)


def _places(chunk: int) -> tuple[Tensor, Tensor]:
    """Slots ``[c, 4]`` of the new tokens a, r, z, s, by place in a chunk, and what each token sees, bool
    ``[c, 4, 4c + 4]``: first of the cache, then of the new tokens."""
    first = 4 * torch.arange(chunk)[:, None] - 2  # [c, 1]: slot of the first new token, below 0 where a chunk begins
    offsets = torch.arange(4)
    slots = torch.remainder(first + offsets, 4 * chunk)
    older = torch.arange(4 * chunk) < first  # [c, 4c]
    # Among the new tokens: those before, but none of the step before where there is none.
    newer = (offsets <= offsets[:, None]) & ((offsets[:, None] < 2) | (first[:, None] + offsets >= 0))  # [c, 4, 4]
    return slots, torch.cat([older[:, None].expand(-1, 4, -1), newer], -1)
