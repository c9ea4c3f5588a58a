"""Two more ways to compute a step of AD with a transformer: without a cache, and with PyTorch's fastest one.

Each of them replaces the `Attentive` backbone of a model and has the same weights; the rest of the model is unchanged.
It keeps the context in its own attributes, so it serves one robot only. The window starts full of random numbers,
because the time of a step does not depend on them.

    symbol  name
    G       tokens of a step
    S       tokens of the window
    H       heads
    d       width
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dmh_edge.models.backbones import Attentive
from dmh_edge.models.policy_model import Tensors
from dmh_edge.models.sequence import SequencePolicy
from dmh_edge.models.transformer import rotate


class Rereading(Attentive):
    """A backbone that reads the whole context again at every step, as a transformer without a cache must.

    The last layer computes the newest token only, which saves much of its work.

    Args:
        attentive: backbone whose weights and window it takes.
    """

    def __init__(self, attentive: Attentive) -> None:
        super().__init__(attentive.transformer, attentive.steps, attentive.episodes, attentive.tokens)
        self.past = torch.randn(1, self.steps * self.tokens, _width(attentive))  # [1, S, d]

    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:  # noqa: ARG002 (it keeps its state)
        """Return the output at the newest token: ``[1, G, d] -> [1, d]``."""
        self.past = torch.cat([self.past[:, self.tokens :], tokens], 1)
        place = torch.arange(self.steps).repeat_interleave(self.tokens)
        rotation = self.cosine[place][None, None], self.sine[place][None, None]  # [1, 1, S, d/H/2]
        read: Tensor = self.transformer(self.past, slice(-1, None), None, rotation)
        return read[:, 0], {}


class InPlace(Attentive):
    """A backbone that writes keys and values in place into a ring, which PyTorch's fused attention reads.

    Args:
        attentive: backbone whose weights and window it takes.
    """

    def __init__(self, attentive: Attentive) -> None:
        super().__init__(attentive.transformer, attentive.steps, attentive.episodes, attentive.tokens)
        layers, heads, slots = len(self.transformer.blocks), self.transformer.heads, self.steps * self.tokens
        self.key, self.value = torch.randn(2, layers, 1, heads, slots, self.transformer.head_width)
        self.hidden = torch.zeros(self.tokens, slots)  # [G, S]: added to the scores of G new tokens
        self.later = torch.full((self.tokens, self.tokens), -torch.inf).triu(1)  # a token does not see later tokens
        self.place = 0

    def step(self, tokens: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:  # noqa: ARG002 (it keeps its state)
        """Return the output at the newest token: ``[1, G, d] -> [1, d]``."""
        first = self.place % self.steps * self.tokens
        here = slice(first, first + self.tokens)
        rotation = self.cosine[self.place], self.sine[self.place]  # [d/H/2], the same for all tokens of a step
        self.hidden[:, here] = self.later
        x = tokens[0]  # [G, d]
        for layer, block in enumerate(self.transformer.blocks):
            heads = block.qkv(block.attention_norm(x)).view(self.tokens, 3 * self.transformer.heads, -1)  # type: ignore[operator]
            q, k, v = heads.transpose(0, 1).unsqueeze(0).chunk(3, 1)  # [1, H, G, d/H] each
            self.key[layer, :, :, here], self.value[layer, :, :, here] = rotate(k, rotation), v
            last = layer == len(self.transformer.blocks) - 1
            if last:  # the newest token sees everything
                q, x = q[:, :, -1:], x[-1:]
            attended = functional.scaled_dot_product_attention(
                rotate(q, rotation), self.key[layer], self.value[layer], attn_mask=None if last else self.hidden
            )
            x = x + block.attention_out(attended.transpose(1, 2).reshape(x.shape))  # type: ignore[operator]
            x = x + block.mlp(block.mlp_norm(x))  # type: ignore[operator]
        self.hidden[:, here] = 0
        self.place = (self.place + 1) % (2 * self.steps)
        normed: Tensor = self.transformer.final_norm(x)
        return normed, {}


def standing_in(model: SequencePolicy, kind: type[Rereading | InPlace]) -> SequencePolicy:
    """Return a model with the same weights whose steps are computed by a backbone of this kind."""
    assert isinstance(model.backbone, Attentive)
    other = SequencePolicy(model.config, model.task)
    other.load_state_dict(model.state_dict())
    assert isinstance(other.backbone, Attentive)
    other.backbone = kind(other.backbone)
    return other.eval()


def _width(attentive: Attentive) -> int:
    return attentive.transformer.heads * attentive.transformer.head_width
