"""How observations and actions become the inputs of a network, and how its output becomes an action.

Normalisation and scaling are part of the graph, so the deployed file needs no other code to be the policy.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dmh_edge.task import ActionSpec, DiscreteAction, Element, bounds_of

#: How whole-number elements of an observation are encoded; see `ObservationEncoder`.
Levels: TypeAlias = Literal["one-hot", "one-hot-joint", "scale"]


class ObservationEncoder(nn.Module):
    """Encode an observation ``[..., S]`` as features ``[..., E]``.

    Continuous elements are normalised to mean 0 and standard deviation 1 over the training data. Whole-number elements
    become one-hot vectors, one per element (``one-hot``) or one for all of them together (``one-hot-joint``), or are
    scaled to [-1, 1] (``scale``).

    Args:
        elements: elements of the task's observation.
        levels: how to encode whole-number elements.
    """

    def __init__(self, elements: tuple[Element, ...], levels: Levels) -> None:
        super().__init__()
        whole = [i for i, element in enumerate(elements) if element.levels and levels != "scale"]
        plain = [i for i in range(len(elements)) if i not in whole]
        middle = [(elements[i].low + elements[i].high) / 2 if elements[i].levels else 0.0 for i in plain]
        half_range = [(elements[i].high - elements[i].low) / 2 if elements[i].levels else 1.0 for i in plain]
        self._fitted = [k for k, i in enumerate(plain) if not elements[i].levels]
        self.register_buffer("plain_index", torch.tensor(plain, dtype=torch.int64), persistent=False)
        self.register_buffer("mean", torch.tensor(middle))
        self.register_buffer("deviation", torch.tensor(half_range))
        # A one-hot feature is 1 if every element that it reads is equal to the feature's own value.
        grids = [[elements[i].low + k for k in range(elements[i].levels or 0)] for i in whole]
        if levels == "one-hot-joint" and whole:
            index, value = whole, torch.cartesian_prod(*[torch.tensor(grid) for grid in grids]).view(-1, len(whole))
            self.register_buffer("level_index", torch.tensor(index), persistent=False)
        else:
            index = [i for i, grid in zip(whole, grids, strict=True) for _ in grid]
            value = torch.tensor([v for grid in grids for v in grid])
            self.register_buffer("level_index", torch.tensor(index, dtype=torch.int64), persistent=False)
        self.register_buffer("level_value", value, persistent=False)
        self.size = len(plain) + len(value)

    plain_index: Tensor
    mean: Tensor
    deviation: Tensor
    level_index: Tensor
    level_value: Tensor

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the mean and standard deviation ``[S]`` of the training data, used for the continuous elements."""
        for k in self._fitted:
            i = self.plain_index[k]
            self.mean[k] = mean[i]
            self.deviation[k] = deviation[i].clamp(min=1e-3)

    def forward(self, observation: Tensor) -> Tensor:
        """``[..., S] -> [..., E]``."""
        parts = []
        if len(self.plain_index):
            parts.append((observation.index_select(-1, self.plain_index) - self.mean) / self.deviation)
        if len(self.level_value):
            levels = torch.round(observation.index_select(-1, self.level_index))
            if self.level_value.dim() == 2:  # joint: all elements must agree
                match = ((levels.unsqueeze(-2) - self.level_value).abs().sum(-1)) == 0
            else:
                match = levels == self.level_value
            parts.append(match.to(observation.dtype))
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class ActionCodec(nn.Module):
    """Encode actions as features, and decode the output of a model's head to actions.

    Args:
        action: specification of the task's action.
    """

    def __init__(self, action: ActionSpec) -> None:
        super().__init__()
        self.discrete = isinstance(action, DiscreteAction)
        self.size = action.size
        if isinstance(action, DiscreteAction):
            self.register_buffer("choice", torch.arange(action.size), persistent=False)
        else:
            low, high = (torch.tensor(bound.tolist()) for bound in bounds_of(action.elements))
            self.register_buffer("middle", (low + high) / 2, persistent=False)
            self.register_buffer("half_range", (high - low) / 2, persistent=False)

    choice: Tensor
    middle: Tensor
    half_range: Tensor

    def encode(self, action: Tensor, dtype: torch.dtype) -> Tensor:
        """Return features ``[..., A]``: choices ``[...]`` as one-hot, continuous ``[..., A]`` scaled to [-1, 1]."""
        if self.discrete:
            return (action.unsqueeze(-1) == self.choice).to(dtype)
        return (action.to(dtype) - self.middle) / self.half_range

    def decode(self, head: Tensor) -> Tensor:
        """Map a continuous head's tanh output ``[..., A]`` to actions within their bounds."""
        return self.middle + self.half_range * head

    def choose(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Choose one of n actions, ``[..., n] -> [...]`` int64.

        Args:
            logits: logits ``[..., n]``.
            noise: standard normal noise ``[..., n]``. It is converted to Gumbel noise, so that the choice is a sample
                from the softmax. With all zeros the choice is the largest logit.
        """
        uniform = ((1 + torch.erf(noise * 0.5**0.5)) / 2).clamp(1e-6, 1 - 1e-6)
        return torch.argmax(logits - torch.log(-torch.log(uniform)), -1)
