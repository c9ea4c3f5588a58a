"""Makes environments with MuJoCo physics known to gymnasium, without loading MuJoCo before one is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from dmh_edge.task import TaskSpec


def register(spec: TaskSpec, entry_point: str) -> Callable[[Sequence[int]], gymnasium.vector.VectorEnv[Any, Any, Any]]:
    """Register an environment with gymnasium under the name of its task, and return what makes many of them at once.

    Args:
        spec: spec of the task.
        entry_point: ``module:Class`` of a `PhysicsEnv` that needs no argument but ``hidden``.
    """
    if spec.name not in gymnasium.registry:
        gymnasium.register(spec.name, entry_point, max_episode_steps=spec.horizon)

    def vector(hidden: Sequence[int]) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
        make: Any = load_env_creator(entry_point)  # first, because its module says how MuJoCo is installed
        from dmh_edge.tasks.physics_vector import PhysicsVectorEnv

        return PhysicsVectorEnv(make, hidden)

    return vector
