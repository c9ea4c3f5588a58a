"""A planar arm with three joints whose target is hidden: its simulator, a teacher, and the task made of both."""

import dataclasses
import functools

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from dmh_edge.tasks import gymnasium_task

LINKS = np.array([0.4, 0.3, 0.2])  # In metres.
FASTEST = 6.0  # Of each joint, in rad/s, at an action of 1.


def fingertip(angles):
    """Where the fingertip is, [..., 2] in metres, for joint angles [..., 3] in radians."""
    along = np.cumsum(angles, axis=-1)
    return np.stack([(LINKS * np.cos(along)).sum(-1), (LINKS * np.sin(along)).sum(-1)], axis=-1)


@functools.cache
def target_of(number):
    """The target of a hidden task: its number is the seed."""
    radius, angle = np.random.default_rng(number).uniform([0.3, -2.0], [0.8, 2.0])
    return radius * np.array([np.cos(angle), np.sin(angle)])


def targets(hidden):
    """The targets [N, 2] of hidden tasks [N]."""
    return np.stack([target_of(number) for number in hidden.tolist()])


class ArmEnv(gymnasium.Env):
    """The arm. It observes joint angles and fingertip, sets three speeds, and is paid for being near the target."""

    observation_space = Box(-np.pi, np.pi, (5,), np.float32)
    action_space = Box(-1, 1, (3,), np.float32)
    dt = 0.02

    def __init__(self, target=0):
        self._target = target_of(target)

    def _look(self):
        return np.concatenate([self._angles, fingertip(self._angles)]).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._angles = np.array([0.0, 0.5, 0.5])
        return self._look(), {}

    def step(self, action):
        turned = self._angles + np.clip(action, -1, 1) * FASTEST * self.dt
        self._angles = np.clip(turned, -np.pi, np.pi)
        distance = float(np.linalg.norm(fingertip(self._angles) - self._target))
        return self._look(), 1 - distance, False, False, {}


def teacher(observation, hidden, phase):
    """Joint speeds [N, 3] that bring the fingertip to the targets: damped least squares on the arm's Jacobian."""
    error = targets(hidden) - observation[:, 3:]
    along = np.cumsum(observation[:, :3], axis=1)
    x, y = (np.cumsum((LINKS * part)[:, ::-1], axis=1)[:, ::-1] for part in (np.cos(along), np.sin(along)))
    jacobian = np.stack([-y, x], axis=1)  # [N, 2, 3]
    damped = jacobian @ jacobian.transpose(0, 2, 1) + 0.003 * np.eye(2)
    speed = jacobian.transpose(0, 2, 1) @ np.linalg.solve(damped, 8 * error[:, :, None])
    return np.clip(speed[:, :, 0] / FASTEST, -1, 1).astype(np.float32)


def surprise(step, hidden):
    """How far each reward is from what it would be with this target, in tolerances of 2 cm, squared: for ceilings."""
    distance = np.linalg.norm(targets(hidden) - step.next_observation[:, 3:], axis=1)
    return ((1 - distance - step.reward) / 0.02) ** 2


TASK = dataclasses.replace(gymnasium_task("arm", ArmEnv, teacher, horizon=50), surprise=surprise)
gymnasium.register("Arm-v0", ArmEnv)
