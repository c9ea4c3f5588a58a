"""Makes the small policies that the tests run: `python tests/policies/make.py`.

They are committed, so that the tests of the runtime need no torch, and so that a change that no longer reads
yesterday's policies is seen. Make them again only when the format version is raised.
"""

from __future__ import annotations

from pathlib import Path

import torch

from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint, Header
from dmh_edge.config import DataConfig, RunConfig, TrainingConfig
from dmh_edge.export.pipeline import export_policy
from dmh_edge.models.build import ModelConfig, build
from dmh_edge.models.dmh import DMH, DMHConfig
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec

HERE = Path(__file__).parent
SIZES = DMHConfig(
    width=8, chunk=3, subgoal_size=4, memory_layers=1, state_size=4, actor_layers=1, heads=2, reward_scale=2.0
)
DISCRETE = TaskSpec(
    name="tiny-discrete",
    observation=(Element(name="x", low=0, high=4, levels=5), Element(name="speed", low=-2, high=2, unit="m/s")),
    action=DiscreteAction(names=("left", "stay", "right"), safe=1),
    reward=Reward(meaning="1 on the goal", low=0, high=1),
    rate_hz=50,
    horizon=10,
    target_return=5,
)
CONTINUOUS = TaskSpec(
    name="tiny-continuous",
    observation=tuple(Element(name=name, low=-3, high=3, unit="rad") for name in ("q0", "q1", "q2")),
    action=ContinuousAction(
        elements=(
            Element(name="dq0", low=-1, high=1, unit="rad/s", slew_per_s=20),
            Element(name="dq1", low=-2, high=4, unit="rad/s", slew_per_s=50),
        ),
        mode="velocity",
        safe=(0.0, 0.0),
    ),
    reward=Reward(meaning="minus the distance to the goal", low=-10, high=0),
    rate_hz=50,
    horizon=12,
    target_return=-1,
)


def tiny_checkpoint(task: TaskSpec, sizes: ModelConfig = SIZES) -> Checkpoint:
    """An untrained policy whose answers spread, as those of a trained one do."""
    torch.manual_seed(0)
    model = build(sizes, task)
    head = model.actor.head if isinstance(model, DMH) else model.head
    with torch.no_grad():
        head.weight.mul_(8)  # logit spread of at least 1
    config = RunConfig(task=task.name, model=sizes, data=DataConfig(), training=TrainingConfig())
    return Checkpoint(Header(step=0, config=config, task=task, data_sha256="0" * 64), model.state_dict(), {}, {})


def main() -> None:
    """Write every small policy."""
    for task in (DISCRETE, CONTINUOUS):
        run = Path("runs", task.name)
        tiny_checkpoint(task).save(run / CHECKPOINT_NAME)
        export_policy(run, HERE / task.name)


if __name__ == "__main__":
    main()
