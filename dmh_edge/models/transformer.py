"""A small causal transformer: it reads whole sequences in training, and a few tokens with a cache in deployment.

    symbol   shape              name
    x        [B * T, d]         tokens of B sequences; one flat axis lets a linear layer be one operator
    q, k, v  [B, H, T, d/H]     queries, keys, values of H heads
    slots    [B, G]             slots of G new tokens in a cache of S slots
    cache    [layers, B, H, S, d/H]   keys, or values

In the step form, the score of a key that a query must not see gets a penalty. The penalty is finite, so that no backend
has to handle an infinity, and so large that softmax makes the weight exactly 0. Whole sequences use PyTorch's fused
attention kernel.
Source: Vaswani et al., "Attention Is All You Need", 2017, with norms before the sublayers (Xiong et al., 2020).
Keys and queries can be rotated by their position (Su et al., "RoFormer", 2021), so that scores depend on distances.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dmh_edge.models.layers import Linear

#: Cosine and sine of each token's rotation angle, one angle per pair of features, each ``[B or 1, 1, T, d/H/2]``.
Rotation = tuple[Tensor, Tensor]

_PENALTY = -1e9


class TransformerBlock(nn.Module):
    """Attention and a ReLU perceptron of 4 times the width, each with its own LayerNorm before it.

    Args:
        width: width of the tokens, d.
        heads: number of heads, H; it must divide the width.
        dropout: dropout on attention weights and on both residual branches.
    """

    product_dtype: torch.dtype | None = None

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.attention_out = Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(Linear(width, 4 * width), nn.ReLU(), Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, batch: int, visible: Tensor | None, answers: slice, rotation: Rotation | None
    ) -> Tensor:
        """Read whole sequences.

        Args:
            x: tokens ``[B * T, d]``.
            batch: number of sequences, B.
            visible: which of T keys each of Q queries sees, bool ``[Q, T]`` or ``[B, 1, Q, T]``; None if Q = T and each
                query sees itself and all before it.
            answers: which Q of the T tokens are passed to the next layer.
            rotation: rotation of queries and keys; None for no rotation.

        Returns:
            output ``[B * Q, d]``.
        """
        q, k, v = self._project(x, batch, rotation)
        dropout = self.dropout.p if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            q[:, :, answers], k, v, attn_mask=visible, dropout_p=dropout, is_causal=visible is None
        )
        x = x.view(batch, -1, x.shape[-1])[:, answers].reshape(-1, x.shape[-1])
        return self._finish(x, attended)

    def step(
        self,
        x: Tensor,
        penalty: Tensor,
        key: Tensor,
        value: Tensor,
        answers: int,
        rotation: Rotation | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read G new tokens and a cache of S tokens. The cache is not written here; `Transformer.step` does that.

        Args:
            x: new tokens ``[B * G, d]``.
            penalty: numbers ``[B, 1, G, S + G]`` to add to the scores: first of the cache, then of the new tokens.
            key, value: cache ``[B, H, S, d/H]``.
            answers: how many of the last new tokens are passed to the next layer.
            rotation: rotation of the new tokens; the cached keys are already rotated.

        Returns:
            output ``[B * answers, d]``, and the new keys and values ``[B, H, G, d/H]``.
        """
        batch, width = key.shape[0], x.shape[-1]
        q, k, v = self._project(x, batch, rotation)
        if answers < q.shape[2]:
            q, penalty = q[:, :, -answers:], penalty[:, :, -answers:]
            x = x.view(batch, -1, width)[:, -answers:].reshape(-1, width)
        scores = torch.cat([self._score(q, key), self._score(q, k)], -1)
        old, new = torch.split(self._weights(scores + penalty), [key.shape[2], k.shape[2]], -1)
        return self._finish(x, self._read(old, value) + self._read(new, v)), k, v

    def _project(self, x: Tensor, batch: int, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        heads = self.qkv(self.attention_norm(x)).view(batch, -1, 3 * self.heads, x.shape[-1] // self.heads)
        q, k, v = heads.transpose(1, 2).chunk(3, 1)  # [B, H, T, d/H] each
        return (q, k, v) if rotation is None else (rotate(q, rotation), rotate(k, rotation), v)

    def _score(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the scores of keys for queries: ``[B, H, Q, K]``."""
        dtype = self.product_dtype or q.dtype
        scores: Tensor = ((q * q.shape[-1] ** -0.5).to(dtype) @ k.to(dtype).transpose(-1, -2)).to(q.dtype)
        return scores

    def _weights(self, scores: Tensor) -> Tensor:
        """Return the softmax of the scores, in float32 or float64."""
        return torch.softmax(scores, -1)

    def _read(self, weights: Tensor, v: Tensor) -> Tensor:
        """Return the weighted sums of values: ``[B, H, Q, d/H]``."""
        dtype = self.product_dtype or weights.dtype
        return (weights.to(dtype) @ v.to(dtype)).to(weights.dtype)

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).reshape(x.shape)))
        finished: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return finished


class Transformer(nn.Module):
    """Transformer blocks and a final LayerNorm.

    Args:
        layers: number of blocks.
        width, heads, dropout: sizes of each `TransformerBlock`.
    """

    def __init__(self, layers: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.final_norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Tensor,
        answers: slice = slice(None),
        visible: Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """Read whole sequences, and return the output at ``answers``, Q of T tokens: ``[B, T, d] -> [B, Q, d]``.

        The last layer computes nothing for the other tokens; with few layers and one answer per four tokens, that
        halves the cost.

        Args:
            x: tokens ``[B, T, d]``.
            answers: tokens whose output is returned.
            visible: which tokens each token sees, bool ``[T, T]`` or ``[B, 1, T, T]``; None: itself and all before it.
            rotation: rotation of the tokens by their positions; None for no rotation.
        """
        batch, length, width = x.shape
        last = visible
        if answers != slice(None):
            if visible is None:
                place = torch.arange(length, device=x.device)
                last = place <= place[answers, None]  # [Q, T]
            else:
                last = visible[..., answers, :]
        x = x.reshape(-1, width)
        for block in self.blocks[:-1]:
            x = block(x, batch, visible, slice(None), rotation)
        x = self.blocks[-1](x, batch, last, answers, rotation)
        normed: Tensor = self.final_norm(x)
        return normed.view(batch, -1, width)

    def step(
        self,
        x: Tensor,
        penalty: Tensor,
        slots: Tensor,
        key: Tensor,
        value: Tensor,
        rotation: Rotation | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read G new tokens, and return the output at the last one.

        Every layer reads the cache, and it is written once, at the end: for policies as small as a robot's, copying the
        cache costs more than computing with it.

        Args:
            x: new tokens ``[B, G, d]``.
            penalty: see `penalty`, ``[B, G, S + G]``: first for the slots of the cache, then for the new tokens.
            slots: slots of the cache for the new tokens, int64 ``[B, G]``.
            key, value: caches ``[layers, B, H, S, d/H]``.
            rotation: rotation of the new tokens by their positions; None for no rotation.

        Returns:
            output ``[B, d]``, and both caches with the new tokens in them.
        """
        group, width = x.shape[1:]
        penalty = penalty.unsqueeze(1)  # [B, 1, G, S + G]
        x = x.reshape(-1, width)
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            answers = 1 if layer == len(self.blocks) - 1 else group
            x, k, v = block.step(x, penalty, key[layer], value[layer], answers, rotation)  # type: ignore[operator]
            keys.append(k)
            values.append(v)
        new_keys, new_values = torch.stack(keys), torch.stack(values)  # [layers, B, H, G, d/H]
        index = slots[None, :, None, :, None].expand(new_keys.shape)
        return (
            self.final_norm(x),
            key.scatter(3, index, new_keys.to(key.dtype)),
            value.scatter(3, index, new_values.to(value.dtype)),
        )


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate each pair of features, one of the first half and one of the second, by its angle: ``[..., d/H]``."""
    cosine, sine = rotation
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def penalty(visible: Tensor) -> Tensor:
    """Return what is added to the scores, float32: 0 where ``visible`` is true, else a large negative number."""
    return torch.where(visible, 0.0, _PENALTY)
