"""What every policy is: a network that reads whole contexts for training, and single ticks for deployment.

    symbol  name
    B       contexts in training, robots in deployment
    J       chunks of a context (padded at the end)
    c       steps of a chunk
    S, E    observation, and its features
    A       action, or number of choices
    Z       noise of a chunk

A model says how it wants contexts cut: DM-H into the chunks that one sub-goal serves, a model of single episodes into
whole episodes, a model that reads across episodes into single steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dmh_edge.contract import ModelSpec, Precision, TensorSpec
from dmh_edge.models.chunks import Chunks, LabelledChunks
from dmh_edge.models.encoding import ActionCodec, Levels, ObservationEncoder
from dmh_edge.task import TaskSpec

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Rollout:
    """What a rollout must be like to meet the corners of a model's state.

    Attributes:
        longest_episode: episodes last 1 tick to so many.
        ticks: after so many, whatever is counted has wrapped and restarted.
    """

    longest_episode: int
    ticks: int


class PolicyModel(nn.Module, ABC):
    """Base of the policies: how observations are read, actions answered, and answers judged.

    Args:
        task: what it observes and does.
        levels: how whole-number observations are read.
    """

    #: Z: standard normal numbers that `forward` reads per chunk.
    chunk_noise: int = 0
    #: What `loss` returns beside ``loss``.
    loss_parts: tuple[str, ...] = ()

    def __init__(self, task: TaskSpec, levels: Levels) -> None:
        super().__init__()
        self.task = task
        self.encoder = ObservationEncoder(task.observation, levels)
        self.codec = ActionCodec(task.action)

    @abstractmethod
    def chunk_steps(self, longest_episode: int) -> int:
        """c: how `forward` wants contexts cut, given the longest episode among them."""

    @abstractmethod
    def forward(self, chunks: Chunks[Tensor], noise: Tensor) -> Tensors:
        """Whole contexts.

        Args:
            chunks: the contexts.
            noise: ``[B, J, Z]`` standard normal, or zeros for the mean.

        Returns:
            ``answer`` ``[B, J, c, A]``, logits or tanh outputs; beside it what parity compares, ``[B, J, ...]``.
        """

    def loss(self, chunks: LabelledChunks[Tensor], noise: Tensor) -> Tensors:
        """What training minimises, ``loss``, and its parts: scalars, averaged over the steps that exist."""
        return {"loss": self.imitation(self(chunks, noise)["answer"], chunks)}

    @abstractmethod
    def step(self, graph: str, tensors: Tensors) -> Tensors:
        """One tick of one graph: named tensors in, named tensors out, as `model_spec` lists them."""

    @abstractmethod
    def model_spec(self, precision: Precision = "float32") -> ModelSpec:
        """The tensors and graphs of the step form; ``precision`` is also that of cached keys and values."""

    @property
    @abstractmethod
    def rollout(self) -> Rollout:
        """What a proof of parity must be like."""

    def action_tensor(self) -> TensorSpec:
        """``action``: ``[B, A]`` float32, or a choice, ``[B]`` int64."""
        if self.codec.discrete:
            return TensorSpec(name="action", dtype="int64", shape=("batch",))
        return TensorSpec(name="action", dtype="float32", shape=("batch", self.codec.size))

    def output_tensors(self) -> tuple[TensorSpec, ...]:
        """``action`` and, of a discrete policy, ``logits`` ``[B, A]``."""
        logits = TensorSpec(name="logits", dtype="float32", shape=("batch", self.codec.size))
        return (self.action_tensor(), logits) if self.codec.discrete else (self.action_tensor(),)

    def outputs(self, answer: Tensor, noise: Tensor | None) -> Tensors:
        """What a tick answers.

        Args:
            answer: logits, or tanh outputs, ``[B, A]``.
            noise: standard normal ``[B, A]`` for a choice among logits; else None.
        """
        if noise is None:
            return {"action": self.codec.decode(answer)}
        return {"action": self.codec.choose(answer, noise), "logits": answer}

    def imitation(self, answer: Tensor, chunks: LabelledChunks[Tensor]) -> Tensor:
        """Cross-entropy, or mean squared error in units of half the action's range: a weighted mean of valid steps."""
        valid = chunks.valid
        label, weight, answer = chunks.label[valid], chunks.weight[valid], answer[valid].float()
        if self.codec.discrete:
            losses = functional.cross_entropy(answer, label, reduction="none")
        else:
            losses = (answer - self.codec.encode(label, answer.dtype)).square().mean(-1)
        return (losses * weight).sum() / weight.sum()


def numbers(name: str) -> TensorSpec:
    """The spec of one float32 number per robot."""
    return TensorSpec(name=name, dtype="float32", shape=("batch",))


def world_tensors(model: PolicyModel, noise: int, return_conditioned: bool) -> list[TensorSpec]:
    """What the host feeds a policy on every tick.

    Args:
        model: the policy.
        noise: columns of noise that it reads; 0 for none.
        return_conditioned: whether it reads a target return.
    """
    world = [
        TensorSpec(name="observation", dtype="float32", shape=("batch", len(model.task.observation))),
        numbers("reward"),
        model.action_tensor().model_copy(update={"name": "previous_action"}),
        TensorSpec(name="episode_start", dtype="bool", shape=("batch",)),
    ]
    if noise:
        world.append(TensorSpec(name="noise", dtype="float32", shape=("batch", noise)))
    if return_conditioned:
        world.append(numbers("target_return"))
    return world


def shift(column: Tensor) -> Tensor:
    """What was there a step before, zeros at the first: ``[R, T, ...] -> [R, T, ...]``."""
    return torch.cat([torch.zeros_like(column[:, :1]), column[:, :-1]], 1)
