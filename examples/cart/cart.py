"""A cart on a rail of two metres: what it observes and does (`TASK`), and how it is driven (`Cart`)."""

import time

import numpy as np

from dmh_edge.robots.lifecycle import Lifecycle
from dmh_edge.robots.protocol import Reading
from dmh_edge.task import ContinuousAction, Element, Reward, TaskSpec

TASK = TaskSpec(
    name="cart",
    observation=(Element(name="position", low=-1, high=1, unit="m"),),
    action=ContinuousAction(
        elements=(Element(name="speed", low=-1, high=1, unit="m/s"),), mode="velocity", safe=(0.0,)
    ),
    reward=Reward(meaning="closeness to a hidden place", low=-1, high=1),
    rate_hz=10,
    horizon=20,
    target_return=18,
)


class Cart:
    """The cart, simulated. It is paid for being near a place that it cannot see.

    Args:
        place: Where that place is, in metres from the middle of the rail.
    """

    task = TASK
    lockstep = True  # Its time stands still between two writes. A real machine says False.
    simulated = True  # It may arm itself. A real machine says False: a person arms it.
    command_timeout_s = None  # Seconds without an action after which the machine stops by itself; None: it never does.
    stop_path = None  # What stops the machine from another process; None: there is no such way.
    damp = None  # A method that brakes the motors; None: the machine has none.

    def __init__(self, place: float = 0.5):
        self._place = place
        self._position = self._reward = 0.0
        self._life = Lifecycle("the cart")  # It refuses calls in a wrong order, such as a write before arm.

    def connect(self):
        self._life.connect()  # A real machine opens its port here.

    def arm(self):
        self._life.arm()

    def reset(self):
        self._life.check_reset()
        self._position = self._reward = 0.0  # A real machine drives to the start of an episode here.
        self._life.reset()

    def read(self):
        self._life.check_read()
        observation = np.array([self._position], np.float32)
        return Reading(time.monotonic_ns(), observation, reward=self._reward)

    def write(self, action):
        self._life.check_write()
        applied = np.clip(action, -1, 1)
        self._position = float(np.clip(self._position + applied[0] / TASK.rate_hz, -1, 1))
        self._reward = 1 - abs(self._position - self._place)
        return applied

    def stop(self):
        self._life.stop()  # A real machine brakes here, and takes no action until it is armed again.

    def close(self):
        self._life.close()
