"""Every fault that can occur between a policy and a robot, by name. `responses` says what is done about each."""

from __future__ import annotations

from enum import Enum


class Fault(str, Enum):
    """A thing that must not reach the policy or the robot, or that must not go on."""

    # Found by `detect_lateness` and `detect_holding`.
    LATE = "late"
    LATE_TOO_OFTEN = "late too often"
    HELD_TOO_LONG = "held too long"
    # Found by `detect_reading`.
    OBSERVATION_SHAPE = "observation of the wrong shape"
    OBSERVATION_NOT_FINITE = "observation not finite"
    OBSERVATION_OUT_OF_BOUNDS = "observation out of physical bounds"
    OBSERVATION_STALE = "observation too old"
    OBSERVATION_FROZEN = "observation frozen under fresh stamps"
    CLOCK_STEPPED_BACK = "stamp earlier than the one before"
    REWARD_MISSING = "reward missing"
    REWARD_NOT_FINITE = "reward not finite"
    REWARD_OUT_OF_BOUNDS = "reward out of bounds"
    # Found by `detect_proposal`.
    ACTION_NOT_FINITE = "proposed action not finite"
    ACTION_EXPLODED = "proposed action exploded"
    STATE_NOT_FINITE = "proposed state not finite"
    BAD_PROPOSALS = "bad proposals in a row"
    ACTION_OUT_OF_BOUNDS = "proposed action out of bounds"
    ACTION_TOO_FAST = "proposed action over its slew limit"
    CLAMPED_TOO_LONG = "clamped for too long"
    # Found by `detect_tracking` and the guard.
    TRACKING = "tracking error over its limit"
    POSE_UNKNOWN = "no pose measured yet"
    # Found by the loop.
    ROBOT_FAILED = "robot failed"
    POLICY_FAILED = "policy failed"
    STOP_FAILED = "robot did not confirm its stop"
    OPERATOR_ABSENT = "operator absent"
    RESET_TIMEOUT = "reset took too long"
