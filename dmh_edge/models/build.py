"""Build a model of any kind from its configuration."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from dmh_edge.models.dmh import DMH
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.models.sequence import (
    ADMambaConfig,
    ADTransformerConfig,
    BCConfig,
    DMConfig,
    DTConfig,
    SequencePolicy,
)
from dmh_edge.task import TaskSpec

ModelConfig: TypeAlias = Annotated[
    DMHConfig | DMConfig | DTConfig | ADMambaConfig | ADTransformerConfig | BCConfig, Field(discriminator="kind")
]


def build(config: ModelConfig, task: TaskSpec) -> PolicyModel:
    """Return a model with this configuration; its initial weights come from torch's random generator."""
    return DMH(config, task) if isinstance(config, DMHConfig) else SequencePolicy(config, task)
