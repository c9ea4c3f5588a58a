"""The table of faults: what is done about each, by what the robot does with an action.

    hold    repeat the last applied action           a position target stays where it is
    ramp    shrink the last applied action to zero   a velocity must not go on
    safe    take the task's safe action              a change of position that is held goes on moving
    damp    let the robot damp itself                an effort is never held; a robot that cannot damp is stopped
    clamp   bring the action inside its limits, and tell the policy what was applied
    stop    stop the robot

Holding, ramping, damping and the safe action fill slots in which the policy takes no step. They end in a stop when they
last longer than ``max_hold_s``, which for a robot that tolerates none is 0. A run may choose another response for a row
(`GuardSettings`), of those that its control mode bears.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Literal

from dmh_edge.task import ContinuousAction, TaskSpec

#: What the robot does with an action; ``delta`` is a position given as a change.
Mode = Literal["position", "delta", "velocity", "effort", "discrete"]

#: The rows of the table whose response depends on the control mode, by their field in `GuardSettings`.
Row = Literal["late", "observation", "reward", "proposal", "limits"]


class Fault(str, Enum):
    """Something that must not reach the policy or the robot, or that must not go on."""

    LATE = "late"
    LATE_TOO_OFTEN = "late too often"
    HELD_TOO_LONG = "held too long"
    OBSERVATION_SHAPE = "observation of the wrong shape"
    OBSERVATION_NOT_FINITE = "observation not finite"
    OBSERVATION_OUT_OF_BOUNDS = "observation out of physical bounds"
    OBSERVATION_STALE = "observation too old"
    OBSERVATION_FROZEN = "observation frozen under fresh stamps"
    CLOCK_STEPPED_BACK = "stamp earlier than the one before"
    REWARD_MISSING = "reward missing"
    REWARD_NOT_FINITE = "reward not finite"
    REWARD_OUT_OF_BOUNDS = "reward out of bounds"
    ACTION_NOT_FINITE = "proposed action not finite"
    ACTION_EXPLODED = "proposed action exploded"
    STATE_NOT_FINITE = "proposed state not finite"
    BAD_PROPOSALS = "bad proposals in a row"
    ACTION_OUT_OF_BOUNDS = "proposed action out of bounds"
    ACTION_TOO_FAST = "proposed action over its slew limit"
    CLAMPED_TOO_LONG = "clamped for too long"
    TRACKING = "tracking error over its limit"
    POSE_UNKNOWN = "no pose measured yet"
    ROBOT_FAILED = "robot failed"
    POLICY_FAILED = "policy failed"
    STOP_FAILED = "robot did not confirm its stop"
    OPERATOR_ABSENT = "operator absent"
    RESET_TIMEOUT = "reset took too long"


class Response(str, Enum):
    """What is done about a fault."""

    HOLD = "hold"
    RAMP = "ramp"
    SAFE = "safe"
    DAMP = "damp"
    CLAMP = "clamp"
    STOP = "stop"


_NO_STEP: Mapping[Mode, Response] = MappingProxyType(
    {
        "position": Response.HOLD,
        "delta": Response.SAFE,
        "velocity": Response.RAMP,
        "effort": Response.DAMP,
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

#: The defaults.
TABLE: Mapping[Row, Mapping[Mode, Response]] = MappingProxyType(
    {"late": _NO_STEP, "observation": _NO_STEP, "reward": _NO_STEP, "proposal": _NO_STEP, "limits": _CLAMP}
)

#: What may be chosen instead, for a slot without a step: nothing that would go on moving, or leap.
BEARABLE: Mapping[Mode, frozenset[Response]] = MappingProxyType(
    {
        "position": frozenset({Response.HOLD, Response.STOP}),
        "delta": frozenset({Response.SAFE, Response.STOP}),
        "velocity": frozenset({Response.RAMP, Response.SAFE, Response.STOP}),
        "effort": frozenset({Response.DAMP, Response.STOP}),
        "discrete": frozenset({Response.SAFE, Response.STOP}),
    }
)

#: Which row a fault belongs to. The others are a stop in every mode, and nothing may soften it.
ROW: Mapping[Fault, Row] = MappingProxyType(
    {
        Fault.LATE: "late",
        Fault.OBSERVATION_SHAPE: "observation",
        Fault.OBSERVATION_NOT_FINITE: "observation",
        Fault.OBSERVATION_OUT_OF_BOUNDS: "observation",
        Fault.OBSERVATION_STALE: "observation",
        Fault.OBSERVATION_FROZEN: "observation",
        Fault.CLOCK_STEPPED_BACK: "observation",
        Fault.REWARD_MISSING: "reward",
        Fault.REWARD_NOT_FINITE: "reward",
        Fault.REWARD_OUT_OF_BOUNDS: "reward",
        Fault.ACTION_NOT_FINITE: "proposal",
        Fault.ACTION_EXPLODED: "proposal",
        Fault.STATE_NOT_FINITE: "proposal",
        Fault.ACTION_OUT_OF_BOUNDS: "limits",
        Fault.ACTION_TOO_FAST: "limits",
    }
)


def mode_of(task: TaskSpec) -> Mode:
    """Which column of the table a task's actions belong to."""
    if not isinstance(task.action, ContinuousAction):
        return "discrete"
    if task.action.mode == "position" and task.action.reference == "delta":
        return "delta"
    return task.action.mode
