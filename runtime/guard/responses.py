"""The response to each fault: one table, by what the robot does with an action.

    hold    repeat the last applied action           a position target stays where it is
    ramp    shrink the last applied action to zero   a velocity must not go on
    safe    take the task's safe action              a change of position that is held would go on moving
    damp    let the robot damp itself                an effort is never held; a robot that cannot damp is stopped
    clamp   bring the action inside its limits, and report the applied action to the policy
    stop    stop the robot

Holding, ramping, damping and the safe action fill slots in which the policy takes no step. They end in a stop when they
last longer than ``max_hold_s``, which is 0 for a robot that tolerates no such slot. A run can choose another response
for a row (`GuardSettings`), among those that `allowed` returns for its control mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Literal

from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.task import ContinuousAction, TaskSpec

#: What the robot does with an action; ``delta`` is a position given as a change.
ControlMode = Literal["position", "delta", "velocity", "effort", "discrete"]

#: The rows of the table whose response depends on the control mode, named as their fields in `GuardSettings`.
Row = Literal["late", "observation", "reward", "proposal", "limits"]


class Response(str, Enum):
    """A response to a fault."""

    HOLD = "hold"
    RAMP = "ramp"
    SAFE = "safe"
    DAMP = "damp"
    CLAMP = "clamp"
    STOP = "stop"


#: The row to which a fault belongs. Every other fault stops the robot in every control mode, and no setting changes
#: that.
ROW_OF: Mapping[Fault, Row] = MappingProxyType(
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

_NO_STEP: Mapping[ControlMode, Response] = MappingProxyType(
    {
        "position": Response.HOLD,
        "delta": Response.SAFE,
        "velocity": Response.RAMP,
        "effort": Response.DAMP,
        "discrete": Response.SAFE,
    }
)
_CLAMP: Mapping[ControlMode, Response] = MappingProxyType(
    {
        "position": Response.CLAMP,
        "delta": Response.CLAMP,
        "velocity": Response.CLAMP,
        "effort": Response.CLAMP,
        "discrete": Response.SAFE,  # there is no nearest choice
    }
)
#: The response to each row in each control mode, unless a setting chooses another one.
TABLE: Mapping[Row, Mapping[ControlMode, Response]] = MappingProxyType(
    {"late": _NO_STEP, "observation": _NO_STEP, "reward": _NO_STEP, "proposal": _NO_STEP, "limits": _CLAMP}
)

#: Responses that are allowed in a slot without a step: none that would go on moving, or jump.
_ALLOWED_WITHOUT_STEP: Mapping[ControlMode, frozenset[Response]] = MappingProxyType(
    {
        "position": frozenset({Response.HOLD, Response.STOP}),
        "delta": frozenset({Response.SAFE, Response.STOP}),
        "velocity": frozenset({Response.RAMP, Response.SAFE, Response.STOP}),
        "effort": frozenset({Response.DAMP, Response.STOP}),
        "discrete": frozenset({Response.SAFE, Response.STOP}),
    }
)


def allowed(row: Row, mode: ControlMode) -> frozenset[Response]:
    """The responses that a setting may choose for a row in a control mode."""
    if row == "limits" and mode != "discrete":
        return frozenset({Response.CLAMP, Response.STOP})
    return _ALLOWED_WITHOUT_STEP[mode]


def control_mode(task: TaskSpec) -> ControlMode:
    """The column of the table to which a task's actions belong."""
    if not isinstance(task.action, ContinuousAction):
        return "discrete"
    if task.action.mode == "position" and task.action.reference == "delta":
        return "delta"
    return task.action.mode
