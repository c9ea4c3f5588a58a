"""``fake``: a small simulated robot in real time, with a monitor that judges what reaches it.

It moves while the clock runs, goes on with the last action, and stops by itself when no action comes for too long. So
late and missing actions have effects, as on a real machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S, Clock, MonotonicClock
from dmh_edge.robots.lifecycle import Lifecycle
from dmh_edge.robots.monitor import Monitor
from dmh_edge.robots.protocol import Action, Reading
from dmh_edge.task import ContinuousAction, Element, Reward, TaskSpec, bounds_of, measuring_elements

TWO_JOINTS = TaskSpec(
    name="two-joints",
    observation=(
        Element(name="shoulder_angle", low=-2.0, high=2.0, unit="rad"),
        Element(name="elbow_angle", low=-2.0, high=2.0, unit="rad"),
    ),
    action=ContinuousAction(
        elements=(
            Element(name="shoulder_velocity", low=-1.0, high=1.0, unit="rad/s", slew_per_s=10.0),
            Element(name="elbow_velocity", low=-1.0, high=1.0, unit="rad/s", slew_per_s=10.0),
        ),
        mode="velocity",
        safe=(0.0, 0.0),
    ),
    reward=Reward(meaning="closeness of both joints to a hidden pose", low=0.0, high=1.0),
    rate_hz=50.0,
    horizon=50,
    target_return=50.0,
)

#: Time in seconds in which an element crosses its whole range at full action.
_CROSSING_S = 4.0


class FakeRobot:
    """A simulated robot for any task: each observed element moves at the speed of one element of the action.

    Element i of the observation follows element i (modulo their number) of a continuous action, scaled so that a full
    action crosses the range in four seconds. Among n discrete choices, choice 2i moves element i up, and choice 2i + 1
    moves it down. An element that measures a position target moves to the target, at most at the same speed. The reward
    is the closeness to a hidden pose, inside the task's bounds for the reward.

    Args:
        task: task with the observations and actions of the robot.
        seed: seed of the hidden pose.
        command_timeout_s: time without an action after which the robot stops by itself, in seconds; None for five
            control periods.
        clock: clock of the robot and its monitor; None for the machine's clock.

    Attributes:
        monitor: monitor that judges the actions that arrive.
    """

    lockstep = False
    simulated = True
    stop_path = None  # it moves only when this process calls it; its command timeout is the stop

    def __init__(
        self,
        task: TaskSpec = TWO_JOINTS,
        *,
        seed: int = 0,
        command_timeout_s: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.task = task
        self.command_timeout_s = 5 / task.rate_hz if command_timeout_s is None else command_timeout_s
        self._clock = MonotonicClock() if clock is None else clock
        self.monitor = Monitor(task, self._clock, self.command_timeout_s)
        self._life = Lifecycle("the fake robot")
        self._low, self._high = bounds_of(task.observation)
        self._whole = np.array([element.levels is not None for element in task.observation])
        self._hidden = np.random.default_rng(seed).uniform(self._low, self._high)
        self._pose = (self._low + self._high) / 2
        self._velocity = np.zeros_like(self._pose)
        self._followed = _followed(task)
        self._target = self._pose.copy()
        self._moved_ns = self._told_ns = self._clock.now_ns()
        self._rewarded = False

    def connect(self) -> None:
        """Note the connection: there is nothing to connect to."""
        self._life.connect()

    def arm(self) -> None:
        """Let actions move the robot."""
        self._life.arm()
        self.monitor.armed()

    def reset(self) -> None:
        """Jump to the middle of every range."""
        self.monitor.resetting()
        self._life.check_reset()
        self._pose = (self._low + self._high) / 2
        self._velocity[:] = 0
        self._target = self._pose.copy()
        self._moved_ns = self._clock.now_ns()
        self._rewarded = False
        self._life.reset()
        self.monitor.reset(self._pose[self._followed] if len(self._followed) else None)

    def read(self) -> Reading:
        """Read where the robot is now."""
        self._life.check_read()
        self.monitor.check_silence()
        self._move()
        observation = np.where(self._whole, np.rint(self._pose), self._pose).astype(np.float32)
        return Reading(self._moved_ns, observation, reward=self._closeness() if self._rewarded else 0.0)

    def write(self, action: Action) -> Action:
        """Move from now on at the speed that belongs to an action."""
        self.monitor.wrote(action)
        self._life.check_write()
        self._move()
        self._velocity = self._speed(action) * (self._high - self._low) / _CROSSING_S
        self._velocity[self._followed] = 0
        self._target[self._followed] = action if len(self._followed) else 0
        self._told_ns = self._moved_ns
        self._rewarded = True
        return np.array(action)

    def damp(self) -> None:
        """Brake, ready for the next action."""
        self.monitor.damped()
        self._life.check_write()
        self._move()
        self._velocity[:] = 0
        self._target = self._pose.copy()
        self._told_ns = self._moved_ns

    def stop(self) -> None:
        """Stand still."""
        self._move()
        self._velocity[:] = 0
        self._target = self._pose.copy()
        self._life.stop()
        self.monitor.stopped()

    def close(self) -> None:
        """Stop, and note that the connection is closed."""
        self.stop()
        self._life.close()

    def _move(self) -> None:
        """Move the pose up to now; an action that is older than the command timeout has no effect any more."""
        now_ns = self._clock.now_ns()
        obeyed_until_ns = self._told_ns + round(self.command_timeout_s * NS_PER_S)
        moving_s = max(0, min(now_ns, obeyed_until_ns) - self._moved_ns) / NS_PER_S
        farthest = (self._high - self._low) * moving_s / _CROSSING_S
        moved = self._velocity * moving_s + np.clip(self._target - self._pose, -farthest, farthest)
        self._pose = np.clip(self._pose + moved, self._low, self._high)
        free = np.ones(len(self._pose), np.bool_)
        free[self._followed] = False
        self._target[free] = self._pose[free]  # these go where their velocity takes them
        self._moved_ns = now_ns

    def _speed(self, action: Action) -> NDArray[np.float64]:
        """Speed that an action asks for, as a share of full speed in -1 .. 1, ``[S]``."""
        spec = self.task.action
        size = len(self._pose)
        if isinstance(spec, ContinuousAction):
            bounds = bounds_of(spec.elements)
            shares = np.asarray(2 * (action - bounds.low) / bounds.span - 1)
            return shares[np.arange(size) % spec.size]
        element, down = divmod(int(action), 2)
        return np.where(np.arange(size) == element % size, -1.0 if down else 1.0, 0.0)

    def _closeness(self) -> float:
        """The reward: the task's highest at the hidden pose, the task's lowest a whole range away."""
        distance = float(np.mean(np.abs(self._pose - self._hidden) / (self._high - self._low)))
        return self.task.reward.high - (self.task.reward.high - self.task.reward.low) * distance


def _followed(task: TaskSpec) -> NDArray[np.intp]:
    """Indices of the observed elements that move to a target: those that measure a position, or none; ``[A]``."""
    spec = task.action
    if not isinstance(spec, ContinuousAction) or (spec.mode, spec.reference) != ("position", "absolute"):
        return np.zeros(0, np.intp)
    return measuring_elements(task)
