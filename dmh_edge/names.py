"""Names that the command line accepts. They are kept here so that its help needs neither gymnasium nor torch.

The things with these names are in `dmh_edge.tasks`, `dmh_edge.studies` and `dmh_edge.bench`; tests check that the lists
agree.
"""

from __future__ import annotations

from typing import Literal

#: Every simulated task. A T-maze of another memory length has the name ``tmaze-LENGTH``.
TASKS = (
    "darkroom",
    "darkroom-hard",
    "darkroom-dynamic",
    "key-to-door",
    "large-darkroom",
    "large-darkroom-hard",
    "large-darkroom-dynamic",
    "large-key-to-door",
    "tmaze",
    "dark-reacher",
    "dark-payload",
    "dark-camera",
    "dark-slide",
)
#: Every kind of model.
MODELS = ("dm-h", "dm", "dt", "ad-transformer", "ad-mamba", "bc")
#: Every study of `dmh-edge study`.
STUDIES = ("gridworld", "tmaze", "ablation-subgoal", "ablation-c", "tuning", "cost", "latency")
#: Every other implementation of Mamba that `dmh-edge bench train` compares with.
RIVAL_MAMBAS = ("mambapy", "transformers")
#: Every backend that runs an exported policy.
BACKENDS = ("ort-cpu", "ort-cuda", "tensorrt")
#: Teachers of a policy that learns from its own steps: see `dmh_edge.tasks.teachers`.
TeacherName = Literal["expert", "posterior", "sweep"]
