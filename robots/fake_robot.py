"""``fake``: a small simulated robot in real time, with a monitor that judges what reaches it.

It moves while the clock runs, keeps doing what it was told last, and stops by itself when no action comes for too long.
So lateness and silence have consequences, as on a machine.
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

#: At full action an element crosses its whole range in this time.
_CROSSING_S = 4.0


class FakeRobot:
    """A simulated robot for any task: each observed element drifts at the speed of one element of the action.

    Element i of the observation follows element i (modulo their number) of a continuous action, scaled so that a full
    action crosses the range in four seconds; of n discrete choices, 2i moves element i up and 2i + 1 down. An element
    that measures a position target moves to it, no faster. The reward is the closeness to a hidden pose, inside
    the task's bounds for it.

    Args:
        task: task that it shows and takes actions for.
        seed: seed of the hidden pose.
        command_timeout_s: silence after which it stops by itself; None for five control periods.
        clock: clock of the robot and its monitor; None for the machine's.

    Attributes:
        monitor: what it made of the actions that arrived.
    """

    lockstep = False
    simulated = True
    stop_path = None  # it moves when this process looks; its command timeout is the stop

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
        """Nothing to reach."""
        self._life.connect()

    def arm(self) -> None:
        """Let actions move it."""
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
        """Where it is now."""
        self._life.check_read()
        self.monitor.check_silence()
        self._move()
        observation = np.where(self._whole, np.rint(self._pose), self._pose).astype(np.float32)
        return Reading(self._moved_ns, observation, reward=self._closeness() if self._rewarded else 0.0)

    def write(self, action: Action) -> Action:
        """Go on with the speed that belongs to an action."""
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
        """Stop."""
        self.stop()
        self._life.close()

    def _move(self) -> None:
        """Bring the pose up to now; an action that is older than the command timeout moves nothing any more."""
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
        """Share of full speed ``[S]`` in -1 .. 1 that an action asks for."""
        spec = self.task.action
        size = len(self._pose)
        if isinstance(spec, ContinuousAction):
            bounds = bounds_of(spec.elements)
            shares = np.asarray(2 * (action - bounds.low) / bounds.span - 1)
            return shares[np.arange(size) % spec.size]
        element, down = divmod(int(action), 2)
        return np.where(np.arange(size) == element % size, -1.0 if down else 1.0, 0.0)

    def _closeness(self) -> float:
        """Reward: the task's highest at the hidden pose, its lowest a whole range away."""
        distance = float(np.mean(np.abs(self._pose - self._hidden) / (self._high - self._low)))
        return self.task.reward.high - (self.task.reward.high - self.task.reward.low) * distance


def _followed(task: TaskSpec) -> NDArray[np.intp]:
    """Which observed elements ``[A]`` move to a target: those that measure an absolute position, else none."""
    spec = task.action
    if not isinstance(spec, ContinuousAction) or (spec.mode, spec.reference) != ("position", "absolute"):
        return np.zeros(0, np.intp)
    return measuring_elements(task)
