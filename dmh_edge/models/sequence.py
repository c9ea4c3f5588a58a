"""The rivals of DM-H, all in one class: a group of tokens per step, a backbone, and a head on the last token.

    kind             tokens of a step                           backbone      carried across episodes
    dm               action before, return-to-go, observation   Mamba         no
    dt               action before, return-to-go, observation   transformer   no
    ad-mamba         action, reward, start, observation         Mamba         yes
    ad-transformer   action, reward, start, observation         transformer   yes
    bc               observation                                none          no

Action and reward are those of the step before. The token streams of the papers are cut before each observation, so that
a group is complete when its action is needed.

Sources: dm: Ota, "Decision Mamba: Reinforcement Learning via Sequence Modeling with Selective State Spaces", 2024;
dt: Chen et al., "Decision Transformer", 2021; ad: Laskin et al., "In-context Reinforcement Learning with Algorithm
Distillation", 2022, on the across-episodic contexts of Huang et al., 2024.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dmh_edge.contract import GraphSpec, ModelSpec, Precision
from dmh_edge.models.backbones import Attentive, Backbone, Memoryless, Recurrent
from dmh_edge.models.chunks import Chunks
from dmh_edge.models.encoding import Levels
from dmh_edge.models.layers import Linear
from dmh_edge.models.mamba import Mamba, MambaSizes
from dmh_edge.models.policy_model import (
    PolicyModel,
    Rollout,
    Tensors,
    numbers,
    shift,
    world_tensors,
)
from dmh_edge.models.transformer import Transformer
from dmh_edge.schema import Spec
from dmh_edge.task import TaskSpec

Token = Literal["action", "reward", "start", "return_to_go", "observation"]


class SequenceConfig(Spec):
    """Sizes that all rivals have."""

    tokens: ClassVar[tuple[Token, ...]]
    """Tokens of a step; the model answers at the last one."""
    across_episodes: ClassVar[bool]
    """Whether the model remembers earlier episodes."""

    width: int = Field(default=128, ge=1)
    """d, the width of the tokens."""
    layers: int = Field(default=3, ge=1)
    """Blocks of the backbone."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on the tokens, and within attention and perceptrons."""
    levels: Levels = "one-hot"
    """How whole-number observations are encoded; see `ObservationEncoder`."""

    @abstractmethod
    def backbone(self, horizon: int) -> Backbone:
        """Return the layers for a task whose episodes have at most ``horizon`` steps."""


class _RewardedConfig(SequenceConfig):
    reward_scale: float = Field(default=1.0, gt=0)
    """Rewards and return-to-go are divided by this."""


class _MambaConfig(_RewardedConfig, MambaSizes):
    def backbone(self, horizon: int) -> Backbone:  # noqa: ARG002 (its state has a fixed size)
        return Recurrent(Mamba(self.layers, self), self.across_episodes)


class _TransformerConfig(_RewardedConfig):
    heads: int = Field(default=4, ge=1)
    """Attention heads."""

    @model_validator(mode="after")
    def _heads_have_pairs(self) -> _TransformerConfig:
        if self.width % (2 * self.heads):
            raise ValueError(f"width = {self.width} is not a multiple of twice heads = {self.heads}")
        return self

    def _transformer(self) -> Transformer:
        return Transformer(self.layers, self.width, self.heads, self.dropout)


class DMConfig(_MambaConfig):
    """Decision Mamba."""

    kind: Literal["dm"] = "dm"
    """Which model this is."""
    tokens = ("action", "return_to_go", "observation")
    across_episodes = False


class DTConfig(_TransformerConfig):
    """Decision Transformer."""

    kind: Literal["dt"] = "dt"
    """Which model this is."""
    window: int = Field(default=20, ge=1)
    """K: how many steps of the current episode the model sees; a window longer than the episode sees all of it."""
    tokens = ("action", "return_to_go", "observation")
    across_episodes = False

    def backbone(self, horizon: int) -> Backbone:
        return Attentive(self._transformer(), min(self.window, horizon), 1, len(self.tokens))


class ADMambaConfig(_MambaConfig):
    """Algorithm Distillation with Mamba."""

    kind: Literal["ad-mamba"] = "ad-mamba"
    """Which model this is."""
    tokens = ("action", "reward", "start", "observation")
    across_episodes = True


class ADTransformerConfig(_TransformerConfig):
    """Algorithm Distillation with a transformer."""

    kind: Literal["ad-transformer"] = "ad-transformer"
    """Which model this is."""
    window_episodes: int = Field(default=4, ge=1)
    """How many episodes the model sees; when another one begins, the oldest is dropped."""
    tokens = ("action", "reward", "start", "observation")
    across_episodes = True

    def backbone(self, horizon: int) -> Backbone:
        window = self.window_episodes
        return Attentive(self._transformer(), window * horizon, window, len(self.tokens))


class BCConfig(SequenceConfig):
    """Behaviour cloning."""

    kind: Literal["bc"] = "bc"
    """Which model this is."""
    tokens = ("observation",)
    across_episodes = False

    def backbone(self, horizon: int) -> Backbone:  # noqa: ARG002 (it remembers nothing)
        return Memoryless(self.layers, self.width, self.dropout)


class SequencePolicy(PolicyModel):
    """A policy with one graph.

    Args:
        config: kind of the model, and its sizes.
        task: specification of the task.
    """

    def __init__(self, config: DMConfig | DTConfig | ADMambaConfig | ADTransformerConfig | BCConfig, task: TaskSpec):
        super().__init__(task, config.levels)
        self.config = config
        self.reward_scale = config.reward_scale if isinstance(config, _RewardedConfig) else 1.0
        sizes: dict[Token, int] = {
            "action": self.codec.size,
            "reward": 1,
            "start": 1,
            "return_to_go": 1,
            "observation": self.encoder.size,
        }
        self.tokens = nn.ModuleDict({token: Linear(sizes[token], config.width) for token in config.tokens})
        self.token_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.backbone = config.backbone(task.horizon)
        self.head = Linear(config.width, self.codec.size)

    def chunk_steps(self, longest_episode: int) -> int:
        """Return the longest episode's steps; if memory spans episodes, 1, so that no padding lies between them."""
        return 1 if self.config.across_episodes else longest_episode

    @property
    def rollout(self) -> Rollout:
        """A rollout that goes round the circle of positions, also within one episode if the window has only one.

        A circle of more than about 2,000 ticks is not completed: the check would take longer than the training.
        """
        if not isinstance(self.backbone, Attentive):
            return Rollout(longest_episode=20, ticks=100)
        steps, episodes = self.backbone.steps, self.backbone.episodes
        longest = 5 * steps if episodes == 1 else max(2, round(1.75 * steps / episodes))
        return Rollout(longest, min(5_000, max(200, 6 * steps if episodes == 1 else round(4.2 * steps))))

    def forward(self, chunks: Chunks[Tensor], noise: Tensor) -> Tensors:  # noqa: ARG002 (a DM-H reads it)
        """Return ``answer`` ``[B, J, c, A]``, logits or tanh outputs, of whole contexts."""
        batch, count, chunk, size = chunks.observation.shape
        rows = batch if self.config.across_episodes else batch * count
        observation = chunks.observation.reshape(rows, -1, size)  # [R, T, S]
        reward = chunks.reward.reshape(rows, -1)  # [R, T]
        first = torch.zeros_like(chunks.valid)
        first[:, :, 0] = chunks.episode_start
        start = first.reshape(rows, -1)  # [R, T]
        action = chunks.action.reshape(rows, reward.shape[1], *chunks.action.shape[3:])  # [R, T, A] or [R, T]
        seen = {
            "action": self._before(self.codec.encode(shift(action), observation.dtype), start),
            "reward": shift(reward),
            "start": start,
            "observation": self.encoder(observation),
        }
        if "return_to_go" in self.config.tokens:
            seen["return_to_go"] = _returns_to_go(chunks.target_return.reshape(rows), reward)
        answer = self._answer(self.backbone(self._group(seen), start))
        return {"answer": answer.view(batch, count, chunk, -1)}

    def step(self, graph: str, tensors: Tensors) -> Tensors:  # noqa: ARG002 (there is only one)
        """Compute one tick."""
        seen, following = {"observation": self.encoder(tensors["observation"])}, {}
        if "action" in self.config.tokens:
            action = self.codec.encode(tensors["previous_action"], tensors["observation"].dtype)
            seen["action"] = self._before(action, tensors["episode_start"])
        if "reward" in self.config.tokens:
            seen |= {"reward": tensors["reward"], "start": tensors["episode_start"]}
        if "return_to_go" in self.config.tokens:
            left = tensors["return_to_go"] - tensors["reward"]
            to_go = torch.where(tensors["episode_start"], tensors["target_return"], left)
            seen["return_to_go"] = following["return_to_go_next"] = to_go
        read, state = self.backbone.step(self._group(seen), tensors)
        following |= {f"{name}_next": tensor for name, tensor in state.items()}
        return self.outputs(self._answer(read), tensors["noise"] if self.codec.discrete else None) | following

    def model_spec(self, precision: Precision = "float32") -> ModelSpec:
        """Return the specs of the tensors and of the graph of the step form."""
        conditioned = "return_to_go" in self.config.tokens
        world = world_tensors(self, self.codec.size if self.codec.discrete else 0, conditioned)
        state = (*([numbers("return_to_go")] if conditioned else []), *self.backbone.state(precision))
        outputs = self.output_tensors()
        reads = {"observation", "noise"} if self.config.tokens == ("observation",) else None  # None: everything
        graph = GraphSpec(
            name="policy",
            file="model.onnx",
            inputs=tuple(spec.name for spec in (*world, *state) if reads is None or spec.name in reads),
            outputs=(*(spec.name for spec in outputs), *(f"{spec.name}_next" for spec in state)),
        )
        return ModelSpec(
            kind=self.config.kind,
            sizes=self.config.model_dump(),
            world=tuple(world),
            state=state,
            outputs=outputs,
            graphs=(graph,),
        )

    def _before(self, action: Tensor, start: Tensor) -> Tensor:
        """Return the features ``[..., A]`` of the action before: zeros at a start if earlier episodes are forgotten."""
        return action if self.config.across_episodes else action * (~start).unsqueeze(-1)

    def _group(self, seen: Tensors) -> Tensor:
        """Return the tokens of a step, ``[..., G, d]``, made from numbers ``[...]`` or features ``[..., E]``."""
        tokens = []
        for name, embed in self.tokens.items():
            value = seen[name]
            if name in ("reward", "return_to_go"):
                value = value / self.reward_scale
            if name not in ("action", "observation"):
                value = value.unsqueeze(-1)
            tokens.append(embed(value.to(seen["observation"].dtype)))
        normed: Tensor = self.dropout(self.token_norm(torch.stack(tokens, -2)))
        return normed

    def _answer(self, read: Tensor) -> Tensor:
        answer: Tensor = self.head(read)
        return answer if self.codec.discrete else torch.tanh(answer)


def _returns_to_go(target: Tensor, reward: Tensor) -> Tensor:
    """Return what is left of ``target`` ``[R]`` before each step, ``[R, T]``, subtracting step by step like `step`."""
    left, column = target, []
    for earned in reward.unbind(1):
        column.append(left)
        left = left - earned
    return torch.stack(column, 1)
