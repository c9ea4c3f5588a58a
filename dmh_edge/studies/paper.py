"""The paper's figures: Huang et al., "Decision Mamba: Reinforcement Learning via Hybrid Selective Sequence Modeling",
NeurIPS 2024, arXiv 2406.00079.

Figures marked "read" were read by eye from the paper's plots, to a few percent; the other figures are printed in the
paper. It gives no intervals for the figures that were read.
"""

from __future__ import annotations

#: Return in the twentieth episode on a new task, by task and system; read.
GRID_WORLD = {
    "darkroom": {"dm-h": 14.3, "ad-mamba": 13.3, "ad-transformer": 13.2},
    "darkroom-hard": {"dm-h": 0.91, "ad-mamba": 0.47, "ad-transformer": 0.42},
    "key-to-door": {"dm-h": 1.97, "ad-mamba": 0.22, "ad-transformer": 0.1},
    "large-darkroom": {"dm-h": 15.2, "ad-mamba": 1.4, "ad-transformer": 1.0},
    "large-darkroom-hard": {"dm-h": 0.88, "ad-mamba": 0.08, "ad-transformer": 0.20},
    "large-key-to-door": {"dm-h": 1.57, "ad-mamba": 0.53, "ad-transformer": 0.17},
}

#: Success rate in T-maze by memory length and system; printed. None: it ran out of memory.
TMAZE: dict[int, dict[str, float | None]] = {
    1_000: {"dm-h": 1.0, "dm": 1.0, "dt": 1.0},
    2_000: {"dm-h": 1.0, "dm": 0.92, "dt": 0.97},
    5_000: {"dm-h": 1.0, "dm": 0.97, "dt": 1.0},
    10_000: {"dm-h": 0.98, "dm": 0.91, "dt": 0.96},
    20_000: {"dm-h": 1.0, "dm": None, "dt": None},
}

#: Return with and without the valuable sub-goal, by task; read.
SUBGOAL = {
    "darkroom-hard": (0.95, 0.89),
    "key-to-door": (1.95, 1.53),
    "large-darkroom-hard": (0.92, 0.71),
    "large-key-to-door": (1.65, 1.30),
}

#: Return by task and c, steps under one sub-goal; read. Hopper in D4RL's normalised score.
CHUNK = {
    "large-darkroom-hard": {1: 0.52, 5: 0.86, 10: 0.96, 15: 0.95, 20: 0.97},
    "large-key-to-door": {1: 0.98, 5: 1.35, 10: 1.53, 15: 1.50, 20: 1.55},
    "hopper-medium": {1: 73.5, 5: 78, 10: 83.3, 15: 82.7, 20: 83.3},
    "hopper-medium-replay": {1: 82.5, 5: 93, 10: 98, 15: 97, 20: 98.5},
    "hopper-medium-expert": {1: 106, 5: 110.5, 10: 115.8, 15: 116.5, 20: 117.3},
}

#: Minutes of testing in ten episodes of HalfCheetah, on a GPU, with a context of 4,000 steps; printed.
TEST_MINUTES = {"dm-h": 6.21, "ad-mamba": 6.16, "ad-transformer": 173.11}
#: Steps of that context, and how many times as fast as AD with a transformer DM-H is there, according to the paper.
TEST_CONTEXT, TEST_RATIO = 4_000, 28
