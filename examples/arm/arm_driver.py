"""The arm as a robot: a driver, in which the simulator takes the place of the machine."""

import time

import numpy as np
from arm_task import TASK, ArmEnv, teacher

from dmh_edge.robots.lifecycle import Lifecycle
from dmh_edge.robots.protocol import Reading


class Arm:
    """The arm. ``target`` is the number of the target that it cannot see."""

    task = TASK.spec
    lockstep = True  # Its time stands still between two writes. A real machine says False.
    simulated = True  # It may arm itself. A real machine says False: a person arms it.
    command_timeout_s = stop_path = damp = None  # A real machine has these: see docs/own_robot.md.

    def __init__(self, target: int = 0):
        self._env, self._number, self._reward = ArmEnv(target), np.array([target]), 0.0
        self._life = Lifecycle("the arm")  # It refuses calls in a wrong order.
        self.connect, self.arm = self._life.connect, self._life.arm
        self.stop, self.close = self._life.stop, self._life.close

    def reset(self):
        self._life.check_reset()
        self._observation, self._reward = self._env.reset()[0], 0.0
        self._life.reset()

    def read(self):
        self._life.check_read()
        return Reading(time.monotonic_ns(), self._observation.copy(), reward=self._reward)

    def write(self, action):
        self._life.check_write()
        applied = np.clip(action, -1, 1)
        self._observation, self._reward, *_ = self._env.step(applied)
        return applied

    def expert_action(self, observation):
        """What the teacher would do: `dmh-edge eval --robot` shows its returns too."""
        return teacher(observation[None], self._number, None)[0]
