"""The description of a task: its observations, actions and reward, its control rate and its limits.

A task fills a `TaskSpec`, which is saved with data and checkpoints, and travels in the policy's contract.
Reading checks everything: an unknown field is an error that names it.

The functions at the end give a task's numbers as arrays to code that computes with them: `bounds_of`, `names_of`,
`safe_action` and `measuring_elements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import Field, model_validator

from dmh_edge.errors import unknown
from dmh_edge.schema import Spec


class Element(Spec):
    """One number of an observation or of a continuous action: its name, bounds and unit."""

    name: str
    """Name of the quantity, e.g. ``shoulder_velocity``."""
    low: float
    """Smallest value that makes physical sense."""
    high: float
    """Largest value that makes physical sense."""
    unit: str = "1"
    """SI unit; ``1`` for a plain number."""
    frame: str = ""
    """Frame of reference, e.g. ``base``; empty where the quantity has none."""
    levels: int | None = Field(default=None, ge=2)
    """Number of values of a quantity that takes steps of one: low, low + 1, ..., high. None for a continuous
    quantity."""
    slew_per_s: float | None = Field(default=None, gt=0)
    """Fastest allowed change of an action element, in units per second; None for no limit. Unused in observations."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Element:
        if not self.low < self.high:
            raise ValueError(f"element {self.name!r}: low {self.low} is not below high {self.high}")
        if self.levels is not None and self.high - self.low != self.levels - 1:
            raise ValueError(f"element {self.name!r}: {self.levels} levels do not reach from {self.low} to {self.high}")
        return self


class ContinuousAction(Spec):
    """A vector of bounded numbers, ``[B, A]`` float32."""

    kind: Literal["continuous"] = "continuous"
    """Distinguishes the two kinds of action."""
    elements: tuple[Element, ...] = Field(min_length=1)
    """Elements in the order of the vector ``[B, A]``."""
    mode: Literal["position", "velocity", "effort"]
    """Quantity that the numbers command."""
    reference: Literal["absolute", "delta"] = "absolute"
    """Whether a position is a target, or a change of the measured position."""
    safe: tuple[float, ...]
    """The action that does least harm, used before the policy's first action."""
    default_pose: tuple[float, ...] = ()
    """Pose that position actions are relative to, in units of the elements; empty where there is none."""
    stiffness: tuple[float, ...] = ()
    """Proportional gains that the inner controller must have; empty where the policy does not rely on them."""
    damping: tuple[float, ...] = ()
    """Derivative gains that the inner controller must have; empty where the policy does not rely on them."""
    measured_as: tuple[str, ...] = ()
    """Names of the observation elements that measure what the action elements set, one for each action element and in
    their order: joint angles for position targets. Empty where no element measures them. A ramp-in starts at the
    measured values, and the tracking error is the distance from them."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> ContinuousAction:
        for field in ("safe", "default_pose", "stiffness", "damping", "measured_as"):
            values = getattr(self, field)
            if (values or field == "safe") and len(values) != len(self.elements):
                raise ValueError(f"{field} has {len(values)} values for {len(self.elements)} action elements")
        for element, value in zip(self.elements, self.safe, strict=True):
            if not element.low <= value <= element.high:
                raise ValueError(f"safe {element.name} is {value}, outside [{element.low}, {element.high}]")
        return self

    @property
    def size(self) -> int:
        """Number of elements in the vector."""
        return len(self.elements)


class DiscreteAction(Spec):
    """One choice among n, ``[B]`` int64."""

    kind: Literal["discrete"] = "discrete"
    """Distinguishes the two kinds of action."""
    names: tuple[str, ...] = Field(min_length=2)
    """What each choice means, in order."""
    safe: int = Field(ge=0)
    """The choice that does least harm, used before the policy's first action."""

    @model_validator(mode="after")
    def _safe_is_a_choice(self) -> DiscreteAction:
        if self.safe >= len(self.names):
            raise ValueError(f"safe choice {self.safe} is not one of {len(self.names)}")
        return self

    @property
    def size(self) -> int:
        """Number of choices."""
        return len(self.names)


ActionSpec = Annotated[ContinuousAction | DiscreteAction, Field(discriminator="kind")]


class Reward(Spec):
    """How reward is defined, and within which bounds it is plausible."""

    meaning: str
    """What earns reward, in words."""
    low: float
    """Smallest reward of one step."""
    high: float
    """Largest reward of one step."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Reward:
        if not self.low <= self.high:
            raise ValueError(f"reward: low {self.low} is above high {self.high}")
        return self


class TaskSpec(Spec):
    """A task: its observations, actions and reward, its control rate and its limits."""

    name: str = Field(pattern=r"^[^\s-]\S*$")
    """Name of the task, e.g. ``darkroom``. Two robots have the same task name exactly when one policy suits both. The
    name is one word and does not begin with a dash, because it is used on command lines."""
    observation: tuple[Element, ...] = Field(min_length=1)
    """Elements in the order of the vector ``[B, S]`` float32."""
    action: ActionSpec
    """Kind, size and bounds of the actions that the policy sends to the robot."""
    reward: Reward
    """Meaning and bounds of the reward that the policy receives."""
    rate_hz: float = Field(gt=0)
    """Control rate in Hz at which the task was recorded."""
    horizon: int = Field(ge=1)
    """Longest episode in control steps."""
    target_return: float
    """Return per episode that the policy is asked for by default."""
    action_delay: Literal[0, 1] = 0
    """Slots between computing an action and writing it: 0 writes it in the slot that computed it, 1 in the next."""
    max_hold_s: float = Field(default=0.1, ge=0)
    """Longest time in seconds for which the last applied action may be held when there is no new one."""
    max_observation_age_s: float = Field(default=0.1, gt=0)
    """Greatest age in seconds of an observation that the policy may act on."""

    @model_validator(mode="after")
    def _what_measures_is_observed(self) -> TaskSpec:
        if isinstance(self.action, ContinuousAction):
            known = names_of(self.observation)
            for name in self.action.measured_as:
                if name not in known:
                    raise ValueError(f"measured_as: {unknown('observation element', name, known)}")
        return self


#: Share of a bound's size by which a value may exceed the bound without a fault, because of float32 arithmetic.
ROUNDING = 1e-6


class Bounds(NamedTuple):
    """The bounds of a row of elements, in the order of the elements.

    Attributes:
        low: the lower bound of each element, ``[N]``.
        high: the upper bound of each element, ``[N]``.
    """

    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def span(self) -> NDArray[Any]:
        """Width of each element's range, ``[N]``."""
        return np.asarray(self.high - self.low)

    @property
    def rounding(self) -> NDArray[Any]:
        """How far each element may exceed its bounds without a fault, because of float32 arithmetic, ``[N]``."""
        return np.asarray(ROUNDING * np.maximum(np.abs(self.low), np.abs(self.high)))


def bounds_of(elements: Sequence[Element], dtype: DTypeLike = np.float64) -> Bounds:
    """The bounds of a row of elements as arrays ``[N]`` of a type."""
    low = np.array([element.low for element in elements], dtype)
    high = np.array([element.high for element in elements], dtype)
    return Bounds(low, high)


def names_of(elements: Sequence[Element]) -> tuple[str, ...]:
    """The names of a row of elements."""
    return tuple(element.name for element in elements)


def safe_action(task: TaskSpec) -> NDArray[Any]:
    """The task's safe action as a robot takes it: a new array, ``[A]`` float32 or ``[]`` int64."""
    return np.array(task.action.safe, np.float32 if isinstance(task.action, ContinuousAction) else np.int64)


def measuring_elements(task: TaskSpec) -> NDArray[np.intp]:
    """Indices of the observation elements that measure the action, ``[A]``; ``[0]`` where none do."""
    measured_as = task.action.measured_as if isinstance(task.action, ContinuousAction) else ()
    names = names_of(task.observation)
    return np.array([names.index(name) for name in measured_as], np.intp)
