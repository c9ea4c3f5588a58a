"""Three environments of gymnasium as tasks in which something is hidden.

dmh-edge train gymnasium_tasks:PENDULUM --set on_policy=true --out runs/pendulum
"""

import os

import gymnasium
import numpy as np

from dmh_edge.experts import from_onnx
from dmh_edge.tasks import gymnasium_task


def mass_of(hidden):
    """The mass in kg of each hidden task: its number is the seed."""
    return np.array([np.random.default_rng(int(number)).uniform(0.5, 1.5) for number in hidden])


def pendulum(number):
    """Pendulum with a hidden mass. Its torque is limited, so it must swing up."""
    env = gymnasium.make("Pendulum-v1", disable_env_checker=True)
    env.unwrapped.m = mass_of([number])[0]
    return env


def swing_up(observation, hidden, phase):
    """Pump energy, and near the top hold the pendulum there; both need the mass."""
    mass, (cosine, sine, speed) = mass_of(hidden), observation.T
    energy = mass * (speed**2 / 6 + 5 * (cosine - 1))  # 0 at rest at the top; the rod is 1 m long, g = 10 m/s^2.
    pump = np.where(np.abs(speed) < 0.1, 2.0, -4 * energy * np.sign(speed))
    hold = -mass * (10 * np.arctan2(sine, cosine) + 2 * speed)
    return np.clip(np.where(cosine > 0.9, hold, pump), -2, 2)[:, None].astype(np.float32)


PENDULUM = gymnasium_task("pendulum-mass", pendulum, swing_up)


def inverted_pendulum(number):
    """InvertedPendulum on a cart whose motor has a hidden strength. The bounds of its observations are infinite."""
    env = gymnasium.make("InvertedPendulum-v5", disable_env_checker=True)
    env.unwrapped.model.actuator_gear[:, 0] *= mass_of([number])[0]
    return env


def balance(observation, hidden, phase):
    """A state feedback whose gain fits the motor."""
    force = observation @ np.array([0.9, 9.0, 0.9, 1.6])
    return np.clip(force / mass_of(hidden), -3, 3)[:, None].astype(np.float32)


INVERTED_PENDULUM = gymnasium_task("inverted-pendulum-motor", inverted_pendulum, balance, horizon=200)


def half_cheetah(number):
    """HalfCheetah with a weak leg: one of its six motors, drawn by the number, has a third of its strength."""
    env = gymnasium.make("HalfCheetah-v5", disable_env_checker=True)
    env.unwrapped.model.actuator_gear[np.random.default_rng(number).integers(6), 0] /= 3
    return env


# An actor of your own, trained elsewhere and exported: observation [N, 17] -> action [N, 6].
if actor := os.environ.get("HALF_CHEETAH_ACTOR"):
    HALF_CHEETAH = gymnasium_task("half-cheetah-leg", half_cheetah, from_onnx(actor), horizon=200)
