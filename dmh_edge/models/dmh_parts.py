"""The two parts of DM-H, memory and actor, and the sizes of the model. The symbols are those of `dmh`.

Where the paper and its released code differ, the description of the field in `DMHConfig` says so.
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
    """Kind of the model."""
    width: int = Field(default=128, ge=1)
    """d, the width of both memory and actor."""
    chunk: int = Field(default=20, ge=1)
    """c, the number of steps under one sub-goal."""
    subgoal_size: int = Field(default=16, ge=1)
    """Z, the size of a sub-goal. The released code uses the size of the observation."""
    subgoal_noise: float = Field(default=1.0, ge=0)
    """Factor on the standard deviation of a sub-goal: 1 as in the paper; with 0 the sub-goal is its mean."""
    memory_layers: int = Field(default=2, ge=1)
    """Mamba blocks of the memory."""
    actor_layers: int = Field(default=3, ge=1)
    """Transformer blocks of the actor."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of the actor; the paper's 3 do not divide its width of 128."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the actor."""
    return_conditioned: bool = True
    """Whether the memory reads the return-to-go. The paper's equation 2 has none; its table and its code have one."""
    subgoal_weight: float = Field(default=0.5, ge=0)
    """w: weight of the loss with the valuable sub-goal: 0.5 as in the code; the paper takes a plain average."""
    reward_scale: float = Field(default=1.0, gt=0)
    """Rewards and return-to-go are divided by this."""
    levels: Levels = "one-hot"
    """How whole-number observations are encoded; see `ObservationEncoder`."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> DMHConfig:
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide width = {self.width}")
        return self


class Memory(nn.Module):
    """The memory: Mamba over one group of tokens per chunk: r_prev, d_prev, return-to-go, observation."""

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
        """Return the sub-goals ``[B, J, Z]`` of all chunks.

        Args:
            features: features ``[B, J, E]`` of the observation at each chunk's first step.
            previous: r_prev ``[B, J]``, the sum of rewards in the chunk before.
            start: d_prev, bool ``[B, J]``: whether the chunk starts an episode.
            to_go: return-to-go ``[B, J]``.
            noise: standard normal noise ``[B, J, Z]``, or zeros for the mean.
        """
        groups = self._groups(features, previous, start, to_go)  # [B, J, G, d]
        batch, chunks, group, width = groups.shape
        read = self.mamba(groups.reshape(batch, chunks * group, width))
        return self._subgoal(read.view(batch, chunks, group, width)[:, :, -1], noise)

    def step(
        self, features: Tensor, previous: Tensor, start: Tensor, to_go: Tensor, noise: Tensor, conv: Tensor, ssm: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return one chunk's sub-goal ``[B, Z]`` and the next states.

        The arguments are those of `forward` without the axis J, then the states of `Mamba.step`.
        """
        read, conv, ssm = self.mamba.step(self._groups(features, previous, start, to_go), conv, ssm)
        return self._subgoal(read[:, -1], noise), conv, ssm

    def _groups(self, features: Tensor, previous: Tensor, start: Tensor, to_go: Tensor) -> Tensor:
        """Return the group of tokens of each chunk, ``[..., G, d]``."""
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
        """Return z = mu + subgoal_noise * sigma * noise: ``[..., d] -> [..., Z]``."""
        mean, log_variance = torch.tanh(self.head(read)).chunk(2, -1)
        if self.subgoal_noise != 1:
            noise = self.subgoal_noise * noise
        return mean + torch.exp(log_variance / 2) * noise


class Actor(nn.Module):
    """The actor: a transformer over the tokens z, s, a, r of each step of one chunk; it answers at token s."""

    def __init__(self, config: DMHConfig, features: int, codec: ActionCodec) -> None:
        super().__init__()
        self.reward_scale = config.reward_scale
        self.codec = codec
        self.slots = 4 * config.chunk
        self.subgoal_token = Linear(config.subgoal_size, config.width)
        self.observation_token = Linear(features, config.width)
        self.action_token = Linear(codec.size, config.width)
        self.reward_token = Linear(1, config.width)
        # The slots of the four new tokens of a step, and what these tokens see, depend only on the step's place in the
        # chunk. Looking both up in tables costs a few operators per tick; computing them would cost about twenty.
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
        """Return logits or tanh outputs at every step of N chunks: ``[N, c, A]``. If no chunk is full, c can be less.

        Args:
            subgoal: sub-goals ``[N, Z]``.
            features: features of the observations, ``[N, c, E]``.
            action: actions ``[N, c, A]`` or ``[N, c]``.
            reward: rewards ``[N, c]``.
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
        """Return the answer of one step ``[B, A]``, and both caches with its tokens.

        Args:
            subgoal: sub-goals ``[B, Z]``.
            features: features of the observation, ``[B, E]``.
            action: action of the step before, ``[B, A]`` or ``[B]``.
            reward: reward of the step before, ``[B]``.
            place: which step of the chunk this is, int64 ``[B]``. At 0 the chunk has no step before: the tokens of
                action and reward go to the last two slots, which no query reads.
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
        """Return the tokens of an action and of the reward that followed it."""
        return (
            self.action_token(self.codec.encode(action, dtype)),
            self.reward_token(reward.unsqueeze(-1) / self.reward_scale),
        )

    def _answer(self, read: Tensor) -> Tensor:
        answer: Tensor = self.head(read)
        return answer if self.codec.discrete else torch.tanh(answer)


def _places(chunk: int) -> tuple[Tensor, Tensor]:
    """Return by place in a chunk: slots ``[c, 4]`` of the new tokens a, r, z, s, and what each of these tokens sees.

    What a token sees is bool ``[c, 4, 4c + 4]``: first the slots of the cache, then the new tokens.
    """
    first = 4 * torch.arange(chunk)[:, None] - 2  # [c, 1]: slot of the first new token; < 0 at a chunk's start
    offsets = torch.arange(4)
    slots = torch.remainder(first + offsets, 4 * chunk)
    older = torch.arange(4 * chunk) < first  # [c, 4c]
    # A new token sees itself and the new tokens before it, but not those of a step before the chunk.
    newer = (offsets <= offsets[:, None]) & ((offsets[:, None] < 2) | (first[:, None] + offsets >= 0))  # [c, 4, 4]
    return slots, torch.cat([older[:, None].expand(-1, 4, -1), newer], -1)
