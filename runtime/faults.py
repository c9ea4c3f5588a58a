"""The table of faults: what is done about each, by what the robot does with an action.

    hold    repeat the last applied action           a position target stays where it is
    ramp    shrink the last applied action to zero   a velocity must not go on
    safe    take the task's safe action              an effort or a change of position that is held goes on moving
    clamp   bring the action inside its limits, and tell the policy what was applied
    stop    stop the robot

Holding, ramping and the safe action fill slots in which the policy takes no step. They end in a stop when they last
longer than the task's ``max_hold_s``, which for a robot that tolerates none is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Literal

from dmh_edge.contract import ContinuousAction, TaskSpec

#: What the robot does with an action; ``delta`` is a position given as a change.
Mode = Literal["position", "delta", "velocity", "effort", "discrete"]


class Fault(str, Enum):
    """Something that must not reach the policy or the robot."""

    OBSERVATION_SHAPE = "observation of the wrong shape"
    OBSERVATION_NOT_FINITE = "observation not finite"
    OBSERVATION_OUT_OF_BOUNDS = "observation out of physical bounds"
    OBSERVATION_STALE = "observation too old"
    REWARD_MISSING = "reward missing"
    REWARD_NOT_FINITE = "reward not finite"
    REWARD_OUT_OF_BOUNDS = "reward out of bounds"
    ACTION_NOT_FINITE = "proposed action not finite"
    STATE_NOT_FINITE = "proposed state not finite"
    ACTION_OUT_OF_BOUNDS = "proposed action out of bounds"
    ACTION_TOO_FAST = "proposed action over its slew limit"


class Response(str, Enum):
    """What is done about a fault."""

    HOLD = "hold"
    RAMP = "ramp"
    SAFE = "safe"
    CLAMP = "clamp"
    STOP = "stop"


_NO_STEP: Mapping[Mode, Response] = MappingProxyType(
    {
        "position": Response.HOLD,
        "delta": Response.SAFE,
        "velocity": Response.RAMP,
        "effort": Response.SAFE,
        "discrete": Response.SAFE,
    }
)
_CLAMP: Mapping[Mode, Response] = MappingProxyType(
    {
        "position": Response.CLAMP,
        "delta": Response.CLAMP,
        "velocity": Response.CLAMP,
        "effort": Response.CLAMP,
        "discrete": Response.SAFE,  # there is no nearest choice
    }
)

TABLE: Mapping[Fault, Mapping[Mode, Response]] = MappingProxyType(
    {
        Fault.OBSERVATION_SHAPE: _NO_STEP,
        Fault.OBSERVATION_NOT_FINITE: _NO_STEP,
        Fault.OBSERVATION_OUT_OF_BOUNDS: _NO_STEP,
        Fault.OBSERVATION_STALE: _NO_STEP,
        Fault.REWARD_MISSING: _NO_STEP,
        Fault.REWARD_NOT_FINITE: _NO_STEP,
        Fault.REWARD_OUT_OF_BOUNDS: _NO_STEP,
        Fault.ACTION_NOT_FINITE: _NO_STEP,
        Fault.STATE_NOT_FINITE: _NO_STEP,
        Fault.ACTION_OUT_OF_BOUNDS: _CLAMP,
        Fault.ACTION_TOO_FAST: _CLAMP,
    }
)

#: So many proposals in a row that are not finite are a stop.
MOST_PROPOSALS_NOT_FINITE = 3


def mode_of(task: TaskSpec) -> Mode:
    """Which column of the table a task's actions belong to."""
    if not isinstance(task.action, ContinuousAction):
        return "discrete"
    if task.action.mode == "position" and task.action.reference == "delta":
        return "delta"
    return task.action.mode
