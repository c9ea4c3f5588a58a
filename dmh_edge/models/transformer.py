"""A small causal transformer: whole sequences for training, a few tokens with a cache for deployment.

    symbol   shape              name
    x        [B, T, d]          tokens
    q, k, v  [B, H, T, d/H]     queries, keys, values of H heads
    slots    [B, G]             places of G new tokens in a cache of S places
    cache    [layers, B, H, S, d/H]   keys, or values

A query at slot i sees the slots up to i. Masked scores are a finite number, so that no backend meets an infinity.
Source: Vaswani et al., "Attention Is All You Need", 2017, with norms before the sublayers (Xiong et al., 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dmh_edge.models.layers import Linear

#: Score of what a query must not see; after softmax it is exactly 0.
_MASKED = -1e9


class TransformerBlock(nn.Module):
    """Attention and a ReLU perceptron of 4 times the width, each behind its own LayerNorm.

    Args:
        width: d.
        heads: H; divides the width.
        dropout: on attention weights and on both residual branches.
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

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """``x`` is ``[B, T, d]``; ``visible`` ``[T, T]`` says which token each query sees."""
        q, k, v = self._project(x)
        return self._finish(x, self._attend(q, k, v, visible))

    def step(
        self, x: Tensor, visible: Tensor, index: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """G new tokens.

        Args:
            x: ``[B, G, d]``.
            visible: ``[B, 1, G, S]``.
            index: where keys and values of the new tokens go, ``[B, H, G, d/H]``.
            key, value: cache ``[B, H, S, d/H]``.

        Returns:
            output ``[B, G, d]``, and both caches with the new tokens in them.
        """
        q, k, v = self._project(x)
        key = key.scatter(2, index, k.to(key.dtype))
        value = value.scatter(2, index, v.to(value.dtype))
        return self._finish(x, self._attend(q, key, value, visible)), key, value

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, H, T, d/H] each
        return q, k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
        """Softmax attention: ``[B, H, T, d/H] -> [B, H, T, d/H]``; softmax in float32 or better."""
        dtype = self.product_dtype or q.dtype
        scores = ((q * q.shape[-1] ** -0.5).to(dtype) @ k.to(dtype).transpose(-1, -2)).to(q.dtype)  # [B, H, T, S]
        weights = torch.softmax(torch.where(visible, scores, _MASKED), -1)
        attended: Tensor = (self.dropout(weights).to(dtype) @ v.to(dtype)).to(q.dtype)
        return attended

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).reshape(x.shape)))
        finished: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return finished


class Transformer(nn.Module):
    """Transformer blocks and a final LayerNorm.

    Args:
        layers: number of blocks.
        width, heads, dropout: of each `TransformerBlock`.
    """

    def __init__(self, layers: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.final_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """A whole sequence: ``[B, T, d] -> [B, T, d]``."""
        places = torch.arange(x.shape[1], device=x.device)
        visible = places <= places[:, None]  # [T, T]
        for block in self.blocks:
            x = block(x, visible)
        normed: Tensor = self.final_norm(x)
        return normed

    def step(self, x: Tensor, slots: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G new tokens ``[B, G, d]`` at ``slots`` ``[B, G]`` of caches ``[layers, B, H, S, d/H]``."""
        _, _, heads, size, head_width = key.shape
        places = torch.arange(size, device=x.device)
        visible = (places <= slots[:, :, None]).unsqueeze(1)  # [B, 1, G, S]
        index = slots[:, None, :, None].expand(-1, heads, -1, head_width)
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            x, layer_key, layer_value = block.step(x, visible, index, key[layer], value[layer])  # type: ignore[operator]
            keys.append(layer_key)
            values.append(layer_value)
        return self.final_norm(x), torch.stack(keys), torch.stack(values)
