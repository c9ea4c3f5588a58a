"""What every policy is: a network that reads whole contexts in training, and single ticks in deployment.

    symbol  name
    B       contexts in training, robots in deployment
    J       chunks of a context (padded at the end)
    c       steps of a chunk
    S, E    size of the observation, and of its features
    A       size of the action, or number of choices
    Z       noise numbers per chunk

Each model decides how contexts are cut: DM-H needs chunks of the steps under one sub-goal, a model of single episodes
needs whole episodes, and a model that reads across episodes needs single steps.
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
    """The rollout that is needed to reach the edge cases of a model's state.

    Attributes:
        longest_episode: ticks of the longest episode; the shortest has 1 tick.
        ticks: length of the rollout; by then every counter of the state has wrapped and restarted.
    """

    longest_episode: int
    ticks: int


class PolicyModel(nn.Module, ABC):
    """Base class of the policies: it encodes observations, decodes actions and computes the imitation loss.

    Args:
        task: specification of the task.
        levels: how whole-number observations are encoded; see `ObservationEncoder`.
    """

    #: Z: standard normal numbers that `forward` reads per chunk.
    chunk_noise: int = 0
    #: Names of the parts that `loss` returns beside ``loss``.
    loss_parts: tuple[str, ...] = ()

    def __init__(self, task: TaskSpec, levels: Levels) -> None:
        super().__init__()
        self.task = task
        self.encoder = ObservationEncoder(task.observation, levels)
        self.codec = ActionCodec(task.action)

    @abstractmethod
    def chunk_steps(self, longest_episode: int) -> int:
        """Return c, the steps per chunk that `forward` needs, given the steps of the longest episode."""

    @abstractmethod
    def forward(self, chunks: Chunks[Tensor], noise: Tensor) -> Tensors:
        """Read whole contexts.

        Args:
            chunks: the contexts.
            noise: standard normal noise ``[B, J, Z]``, or zeros for the mean.

        Returns:
            ``answer`` ``[B, J, c, A]``, logits or tanh outputs; and other tensors for parity checks, ``[B, J, ...]``.
        """

    def loss(self, chunks: LabelledChunks[Tensor], noise: Tensor) -> Tensors:
        """Return the ``loss`` that training minimises, and its parts: scalars, averaged over the valid steps."""
        return {"loss": self.imitation(self(chunks, noise)["answer"], chunks)}

    @abstractmethod
    def step(self, graph: str, tensors: Tensors) -> Tensors:
        """Compute one tick of one graph: named tensors in, named tensors out, as `model_spec` lists them."""

    @abstractmethod
    def model_spec(self, precision: Precision = "float32") -> ModelSpec:
        """Return the specs of the step form's tensors and graphs; cached keys and values have type ``precision``."""

    @property
    @abstractmethod
    def rollout(self) -> Rollout:
        """The rollout that a parity check of this model needs."""

    def action_tensor(self) -> TensorSpec:
        """Return the spec of ``action``: ``[B, A]`` float32, or a choice, ``[B]`` int64."""
        if self.codec.discrete:
            return TensorSpec(name="action", dtype="int64", shape=("batch",))
        return TensorSpec(name="action", dtype="float32", shape=("batch", self.codec.size))

    def output_tensors(self) -> tuple[TensorSpec, ...]:
        """Return the specs of ``action`` and, for a discrete policy, of ``logits`` ``[B, A]``."""
        logits = TensorSpec(name="logits", dtype="float32", shape=("batch", self.codec.size))
        return (self.action_tensor(), logits) if self.codec.discrete else (self.action_tensor(),)

    def outputs(self, answer: Tensor, noise: Tensor | None) -> Tensors:
        """Return the output tensors of a tick.

        Args:
            answer: logits, or tanh outputs, ``[B, A]``.
            noise: standard normal noise ``[B, A]`` for a discrete policy; None for a continuous one.
        """
        if noise is None:
            return {"action": self.codec.decode(answer)}
        return {"action": self.codec.choose(answer, noise), "logits": answer}

    def imitation(self, answer: Tensor, chunks: LabelledChunks[Tensor]) -> Tensor:
        """Return the weighted mean over valid steps of cross-entropy, or of squared errors of actions in [-1, 1]."""
        valid = chunks.valid
        label, weight, answer = chunks.label[valid], chunks.weight[valid], answer[valid].float()
        if self.codec.discrete:
            losses = functional.cross_entropy(answer, label, reduction="none")
        else:
            losses = (answer - self.codec.encode(label, answer.dtype)).square().mean(-1)
        return (losses * weight).sum() / weight.sum()


def numbers(name: str) -> TensorSpec:
    """Return the spec of one float32 number per robot."""
    return TensorSpec(name=name, dtype="float32", shape=("batch",))


def world_tensors(model: PolicyModel, noise: int, return_conditioned: bool) -> list[TensorSpec]:
    """Return the specs of the tensors that the host feeds to a policy on every tick.

    Args:
        model: the policy.
        noise: noise numbers that the policy reads per tick; 0 for none.
        return_conditioned: whether the policy reads a target return.
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
    """Return the values of the step before, zeros at the first step: ``[R, T, ...] -> [R, T, ...]``."""
    return torch.cat([torch.zeros_like(column[:, :1]), column[:, :-1]], 1)
