"""Decision Mamba-Hybrid: a Mamba memory that sets sub-goals, and a transformer actor that pursues them.

    symbol  name
    B       contexts in training, robots in deployment
    J       chunks of a context (padded at the end)
    c       steps of a chunk
    d       width
    S, E    size of the observation, and of its features
    A       size of the action, or number of choices
    Z       size of the sub-goal

``forward`` reads whole contexts, ``step`` reads one tick; both are methods of one class and share every projection. The
memory reads one group of tokens per chunk, the actor reads four tokens per step of the chunk.

Source: Huang et al., "Decision Mamba: Reinforcement Learning via Hybrid Selective Sequence Modeling", NeurIPS 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dmh_edge.contract import GraphSpec, ModelSpec, Precision, TensorSpec
from dmh_edge.models.chunks import Chunks, LabelledChunks
from dmh_edge.models.dmh_parts import Actor, DMHConfig, Memory
from dmh_edge.models.policy_model import (
    PolicyModel,
    Rollout,
    Tensors,
    numbers,
    world_tensors,
)
from dmh_edge.task import TaskSpec


class DMH(PolicyModel):
    """A DM-H policy for a task.

    Args:
        config: sizes of the model.
        task: specification of the task.
    """

    def __init__(self, config: DMHConfig, task: TaskSpec) -> None:
        super().__init__(task, config.levels)
        self.config = config
        self.chunk_noise = config.subgoal_size
        self.loss_parts = ("memory", "subgoal") if config.subgoal_weight > 0 else ("memory",)
        self.memory = Memory(config, self.encoder.size)
        self.actor = Actor(config, self.encoder.size, self.codec)
        self.goal_map = nn.Linear(self.encoder.size, config.subgoal_size).requires_grad_(False)  # f, frozen

    def chunk_steps(self, longest_episode: int) -> int:  # noqa: ARG002 (other models need it)
        """Return c, the number of steps under one sub-goal."""
        return self.config.chunk

    @property
    def rollout(self) -> Rollout:
        """A rollout of about eight episodes, in which chunks end and restart more often than that."""
        return Rollout(longest_episode=round(3.5 * self.config.chunk), ticks=15 * self.config.chunk)

    def forward(self, chunks: Chunks[Tensor], noise: Tensor) -> Tensors:
        """Return ``subgoal`` ``[B, J, Z]`` and ``answer`` ``[B, J, c, A]`` (logits or tanh outputs) of contexts."""
        features = self.encoder(chunks.observation)  # [B, J, c, E]
        previous, to_go = chunk_signals(chunks)
        subgoal = self.memory(features[:, :, 0], previous, chunks.episode_start, to_go, noise)
        return {"subgoal": subgoal, "answer": self._act(subgoal, features, chunks)}

    def loss(self, chunks: LabelledChunks[Tensor], noise: Tensor) -> Tensors:
        """Return the ``loss`` that training minimises, and its parts: scalars, averaged over the valid steps.

        Every chunk is learned twice: with the memory's sub-goal z, and with the valuable sub-goal, which the frozen
        map f makes from a later state with a high reward. Nothing else aligns the two kinds of sub-goal.
        """
        read = self(chunks, noise)
        parts = {"memory": self.imitation(read["answer"], chunks)}
        parts["loss"] = parts["memory"]
        if self.config.subgoal_weight > 0:
            valuable = self.goal_map(self.encoder(chunks.subgoal_observation))  # [B, J, Z]
            answer = self._act(valuable.to(read["answer"].dtype), self.encoder(chunks.observation), chunks)
            parts["subgoal"] = self.imitation(answer, chunks)
            parts["loss"] = parts["loss"] + self.config.subgoal_weight * parts["subgoal"]
        return parts

    def step(self, graph: str, tensors: Tensors) -> Tensors:
        """Compute one tick of one graph: named tensors in, named tensors out, as `model_spec` lists them."""
        return self._step_memory(tensors) if graph == "memory" else self._step_actor(tensors)

    def model_spec(self, precision: Precision = "float32") -> ModelSpec:
        """Return the specs of the tensors and graphs of the step form."""
        config, discrete = self.config, self.codec.discrete
        cache = (config.actor_layers, "batch", config.heads, self.actor.slots, config.width // config.heads)
        noise = config.subgoal_size + (self.codec.size if discrete else 0)
        world = world_tensors(self, noise, config.return_conditioned)
        counters = [TensorSpec(name="chunk_step", dtype="int64", shape=("batch",)), numbers("chunk_reward")]
        if config.return_conditioned:
            counters.append(numbers("return_to_go"))
        memory_state = [
            TensorSpec(name="subgoal", dtype="float32", shape=("batch", config.subgoal_size)),
            *self.memory.mamba.state("memory"),
        ]
        actor_state = [
            *counters,
            *(TensorSpec(name=f"actor_{kind}", dtype=precision, shape=cache) for kind in _CACHES),
        ]
        outputs = self.output_tensors()

        world_names, counter_names = [spec.name for spec in world], [spec.name for spec in counters]
        memory = GraphSpec(
            name="memory",
            file="model.memory.onnx",
            every=config.chunk,
            restart_on="episode_start",
            inputs=(
                *(name for name in world_names if name != "previous_action"),
                *counter_names,
                *(spec.name for spec in memory_state),
            ),
            outputs=tuple(f"{spec.name}_next" for spec in memory_state),
        )
        actor = GraphSpec(
            name="actor",
            file="model.onnx",
            inputs=(
                *(name for name in world_names if name != "noise" or discrete),
                *counter_names,
                "subgoal",
                *(f"actor_{kind}" for kind in _CACHES),
            ),
            outputs=(*(spec.name for spec in outputs), *(f"{spec.name}_next" for spec in actor_state)),
        )
        return ModelSpec(
            kind=config.kind,
            sizes=config.model_dump(),
            world=tuple(world),
            state=(*actor_state, *memory_state),
            outputs=outputs,
            graphs=(memory, actor),
        )

    def _act(self, subgoal: Tensor, features: Tensor, chunks: Chunks[Tensor]) -> Tensor:
        """Run the actor on all chunks at once: ``[B, J, c, A]``."""
        batch, count, chunk, _ = features.shape
        answer = self.actor(
            subgoal.flatten(0, 1), features.flatten(0, 1), chunks.action.flatten(0, 1), chunks.reward.flatten(0, 1)
        )
        shaped: Tensor = answer.view(batch, count, chunk, -1)
        return shaped

    def _step_memory(self, tensors: Tensors) -> Tensors:
        due, _, to_go = self._clock(tensors)
        subgoal, conv, ssm = self.memory.step(
            self.encoder(tensors["observation"]),
            tensors["chunk_reward"] + tensors["reward"],
            tensors["episode_start"],
            to_go,
            tensors["noise"][:, : self.config.subgoal_size],
            tensors["memory_conv"],
            tensors["memory_ssm"],
        )
        stacked_due = due[:, None, None]  # against [layers, B, ., .]
        return {
            "subgoal_next": torch.where(due[:, None], subgoal, tensors["subgoal"]),
            "memory_conv_next": torch.where(stacked_due, conv, tensors["memory_conv"]),
            "memory_ssm_next": torch.where(stacked_due, ssm, tensors["memory_ssm"]),
        }

    def _step_actor(self, tensors: Tensors) -> Tensors:
        due, place, to_go = self._clock(tensors)
        kept = (~due)[:, None, None, None]  # against [layers, B, ., ., .]; the state is finite, so 0 zeroes it
        answer, key, value = self.actor.step(
            tensors["subgoal"],
            self.encoder(tensors["observation"]),
            tensors["previous_action"],
            tensors["reward"],
            place,
            *(tensors[f"actor_{kind}"] * kept.to(tensors[f"actor_{kind}"].dtype) for kind in _CACHES),
        )
        outputs = self.outputs(answer, tensors["noise"][:, self.config.subgoal_size :] if self.codec.discrete else None)
        outputs["chunk_step_next"] = torch.remainder(place + 1, self.config.chunk)
        outputs["chunk_reward_next"] = torch.where(due, 0.0, tensors["chunk_reward"] + tensors["reward"])
        if self.config.return_conditioned:
            outputs["return_to_go_next"] = to_go
        return outputs | {"actor_key_next": key, "actor_value_next": value}

    def _clock(self, tensors: Tensors) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each row: whether its memory is due, its step in the chunk, its return-to-go (0 if unused)."""
        start, chunk_step = tensors["episode_start"], tensors["chunk_step"]
        due = start | (chunk_step == 0)
        place = torch.where(start, 0, chunk_step)
        if not self.config.return_conditioned:
            return due, place, torch.zeros_like(tensors["reward"])
        to_go = torch.where(start, tensors["target_return"], tensors["return_to_go"] - tensors["reward"])
        return due, place, to_go


_CACHES = ("key", "value")


def chunk_signals(chunks: Chunks[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what the memory reads about rewards at each chunk: r_prev and return-to-go, ``[B, J]`` each.

    Rewards are added and subtracted one after the other, in the same order as in the step form, so that both forms
    round in the same way. Padding steps have reward 0, which changes nothing.
    """
    total = torch.zeros_like(chunks.target_return)  # [B, J]
    for reward in chunks.reward.unbind(-1):
        total = total + reward
    previous = functional.pad(total[:, :-1], (1, 0))

    to_go = torch.zeros_like(chunks.target_return[:, 0])  # [B]
    signals = []
    for j in range(chunks.reward.shape[1]):
        to_go = torch.where(chunks.episode_start[:, j], chunks.target_return[:, j], to_go)
        signals.append(to_go)
        for reward in chunks.reward[:, j].unbind(-1):
            to_go = to_go - reward
    return previous, torch.stack(signals, 1)
