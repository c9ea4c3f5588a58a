"""Every fault that can be injected: what goes wrong, which fault the guard counts, and whether it is fatal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from dmh_edge.runtime.guard.faults import Fault


@dataclass(frozen=True)
class Injectable:
    """One fault that can be injected.

    Attributes:
        what: what goes wrong, in words.
        seen_as: the fault that the guard counts; None for an operator's wish, which is not a fault.
        fatal: whether it ends a run at once, however briefly it lasts.
        shows_with: the kinds of action with which it can show: all, only numbers, or only positions.
    """

    what: str
    seen_as: Fault | None
    fatal: bool = False
    shows_with: Literal["all", "numbers", "positions"] = "all"


#: What can go wrong in a robot, by name.
ROBOT_FAULTS: Final[Mapping[str, Injectable]] = MappingProxyType(
    {
        "observation-nan": Injectable("an element is not a number", Fault.OBSERVATION_NOT_FINITE),
        "observation-inf": Injectable("an element is infinite", Fault.OBSERVATION_NOT_FINITE),
        "observation-shape": Injectable("an element is missing", Fault.OBSERVATION_SHAPE),
        "observation-bounds": Injectable("an element is outside its physical bounds", Fault.OBSERVATION_OUT_OF_BOUNDS),
        "stale": Injectable("the stamp is one second too old", Fault.OBSERVATION_STALE),
        "future": Injectable("the stamp lies in the future", Fault.OBSERVATION_STALE),
        "stamp-back": Injectable("the clock of the stamps runs backwards", Fault.CLOCK_STEPPED_BACK),
        "frozen": Injectable("the values stay the same under fresh stamps", Fault.OBSERVATION_FROZEN),
        "stuck": Injectable(
            "the robot stays where it is and ignores its actions", Fault.TRACKING, shows_with="positions"
        ),
        "reward-nan": Injectable("the reward is not a number", Fault.REWARD_NOT_FINITE),
        "reward-missing": Injectable("there is no reward", Fault.REWARD_MISSING),
        "reward-bounds": Injectable("the reward is above its upper bound", Fault.REWARD_OUT_OF_BOUNDS),
        "read-late": Injectable("reading takes one and a half periods", Fault.LATE),
        "write-late": Injectable("writing takes one and a half periods", Fault.LATE),
        "read-raises": Injectable("reading raises", Fault.ROBOT_FAILED, fatal=True),
        "write-raises": Injectable("writing raises", Fault.ROBOT_FAILED, fatal=True),
        "applied-nan": Injectable(
            "the action that it reports as applied is not a number",
            Fault.ROBOT_FAILED,
            fatal=True,
            shows_with="numbers",
        ),
        "disconnects": Injectable("every call raises, stop included", Fault.STOP_FAILED, fatal=True),
        "reset-blocks": Injectable("the next reset takes a minute", Fault.RESET_TIMEOUT, fatal=True),
    }
)

#: What can go wrong in a policy, by name.
POLICY_FAULTS: Final[Mapping[str, Injectable]] = MappingProxyType(
    {
        "action-nan": Injectable("the proposed action is not a number", Fault.ACTION_NOT_FINITE, shows_with="numbers"),
        "action-inf": Injectable("the proposed action is infinite", Fault.ACTION_NOT_FINITE, shows_with="numbers"),
        "action-exploded": Injectable(
            "the proposed action is a million times too large", Fault.ACTION_EXPLODED, shows_with="numbers"
        ),
        "action-bounds": Injectable(
            "the proposed action is a little out of bounds, or not one of the choices", Fault.ACTION_OUT_OF_BOUNDS
        ),
        "action-leaps": Injectable(
            "the proposed action jumps from bound to bound", Fault.ACTION_TOO_FAST, shows_with="numbers"
        ),
        "state-nan": Injectable("the proposed state is not finite", Fault.STATE_NOT_FINITE),
        "compute-late": Injectable("computing takes one and a half periods", Fault.LATE),
        "engine-raises": Injectable("the engine fails", Fault.POLICY_FAILED, fatal=True),
    }
)

#: What an operator does, by name.
OPERATOR_FAULTS: Final[Mapping[str, Injectable]] = MappingProxyType(
    {
        "sigint": Injectable("Ctrl-C", None, fatal=True),
        "sigterm": Injectable("SIGTERM", None, fatal=True),
        "operator-stop": Injectable("a stop button that the user added", None, fatal=True),
        "operator-absent": Injectable("the operator no longer confirms", Fault.OPERATOR_ABSENT, fatal=True),
    }
)

#: Every fault that can be injected, by name.
FAULTS: Final[Mapping[str, Injectable]] = MappingProxyType({**ROBOT_FAULTS, **POLICY_FAULTS, **OPERATOR_FAULTS})
