"""A gymnasium environment of your own: a point in a square that is paid for being near a hidden place."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from dmh_edge.task import DiscreteAction, Element, Reward, TaskSpec

MOVES = np.array([[0, 0], [0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]], np.float32)
TASK = TaskSpec(
    name="point",
    observation=(Element(name="x", low=-1, high=1), Element(name="y", low=-1, high=1)),
    action=DiscreteAction(names=("stay", "right", "left", "up", "down"), safe=0),
    reward=Reward(meaning="1 at the hidden place, less with the distance", low=-1, high=1),
    rate_hz=50,
    horizon=30,
    target_return=25,
)


class Point(gymnasium.Env):
    """The point. ``place`` is what it cannot see: the x and y of the place that pays most."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(len(MOVES))
    dt = 1 / TASK.rate_hz

    def __init__(self, place=(0.5, -0.5)):
        self.place = np.array(place, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._position, self._steps = np.zeros(2, np.float32), 0
        return self._position.copy(), {}

    def step(self, action):
        self._position = np.clip(self._position + MOVES[action], -1, 1)
        self._steps += 1
        reward = 1 - float(np.abs(self._position - self.place).sum()) / 2
        return self._position.copy(), reward, False, self._steps == TASK.horizon, {}


gymnasium.register("Point-v0", Point)
