"""What a task says of itself: what it shows, what it takes, how it rewards, how fast, and within which limits.

A task fills a `TaskSpec`; it is saved with data and checkpoints, and travels in the policy's contract.
Reading checks everything: an unknown field is an error that says which.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dmh_edge.errors import unknown
from dmh_edge.schema import Spec


class Element(Spec):
    """One number of an observation or of a continuous action."""

    name: str
    """What it is, e.g. ``shoulder_velocity``."""
    low: float
    """Smallest value that makes physical sense."""
    high: float
    """Largest value that makes physical sense."""
    unit: str = "1"
    """SI unit; ``1`` for a plain number."""
    frame: str = ""
    """Frame of reference, where there is one."""
    levels: int | None = Field(default=None, ge=2)
    """For whole numbers low, low + 1, ...: how many there are. None for a continuous quantity."""
    slew_per_s: float | None = Field(default=None, gt=0)
    """Fastest allowed change in units per second (actions only); None for no limit."""

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
    """Tells the two kinds of action apart."""
    elements: tuple[Element, ...] = Field(min_length=1)
    """In the order of the vector."""
    mode: Literal["position", "velocity", "effort"]
    """What the robot does with the numbers."""
    reference: Literal["absolute", "delta"] = "absolute"
    """Whether a position is a target, or a change from the measured one."""
    safe: tuple[float, ...]
    """The action that does least harm, used before the policy's first."""
    default_pose: tuple[float, ...] = ()
    """Pose that position actions are relative to, where there is one; units of the elements."""
    stiffness: tuple[float, ...] = ()
    """Proportional gains that the inner controller must have, where the policy relies on them."""
    damping: tuple[float, ...] = ()
    """Derivative gains likewise."""
    measured_as: tuple[str, ...] = ()
    """Observation elements that measure what the action elements set, one each and in their order, where there are:
    joint angles for position targets. A ramp-in starts there, and tracking errors are told by it."""

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
        """Numbers in the vector."""
        return len(self.elements)


class DiscreteAction(Spec):
    """One choice among n, ``[B]`` int64."""

    kind: Literal["discrete"] = "discrete"
    """Tells the two kinds of action apart."""
    names: tuple[str, ...] = Field(min_length=2)
    """What each choice means, in order."""
    safe: int = Field(ge=0)
    """The choice that does least harm, used before the policy's first."""

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
    """How reward is defined, and what a plausible one is."""

    meaning: str
    """In words: what earns it."""
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
    """What a task shows, what it takes, how fast, and within which limits."""

    name: str = Field(pattern=r"^[^\s-]\S*$")
    """Name of the task, e.g. ``darkroom``: what two robots share for which one policy is right. One word that does not
    begin with a dash, for it stands on command lines."""
    observation: tuple[Element, ...] = Field(min_length=1)
    """Elements in the order of the vector ``[B, S]`` float32."""
    action: ActionSpec
    """What the policy does."""
    reward: Reward
    """What it is told about how well it does."""
    rate_hz: float = Field(gt=0)
    """Control rate that the task was recorded at."""
    horizon: int = Field(ge=1)
    """Longest episode in control steps."""
    target_return: float
    """Return of an episode that the policy is asked for by default."""
    action_delay: Literal[0, 1] = 0
    """1: an action is written at the slot after the one that computed it."""
    max_hold_s: float = Field(default=0.1, ge=0)
    """Longest time for which the last applied action may be held when no new one can be had."""
    max_observation_age_s: float = Field(default=0.1, gt=0)
    """Oldest observation that the policy may act on."""

    @model_validator(mode="after")
    def _what_measures_is_observed(self) -> TaskSpec:
        if isinstance(self.action, ContinuousAction):
            known = [element.name for element in self.observation]
            for name in self.action.measured_as:
                if name not in known:
                    raise ValueError(f"measured_as: {unknown('observation element', name, known)}")
        return self
