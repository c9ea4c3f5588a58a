"""Settings of the guard: a robot's file (``--guard FILE.json``), changed by single settings, saved with every run.

They can make the guard stricter than the policy's contract, never less strict: the contract's own limits - bounds,
slew, longest hold, age of observations - always hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import Field, ValidationError, model_validator

from dmh_edge.errors import ConfigError
from dmh_edge.runtime.guard.responses import TABLE, Response, Row, allowed, control_mode
from dmh_edge.schema import Spec, first_fault
from dmh_edge.settings import parse_setting, read_settings
from dmh_edge.task import TaskSpec

GUARD_NAME = "guard.json"
#: Ramp-in of a robot that is not simulated, unless a setting says otherwise.
_RAMP_S = 1.0
#: Share of its range by which a position may be off, unless a setting says otherwise.
_TRACKING_RANGE = 0.25


class GuardSettings(Spec):
    """What the guard does beyond the contract's limits. A response of None stands for the control mode's default."""

    late: Response | None = None
    """Response to a tick whose reading or computing took longer than ``budget_s``."""
    observation: Response | None = None
    """Response to an observation that the policy must not see."""
    reward: Response | None = None
    """Response to a reward that the policy must not see, or that is missing."""
    proposal: Response | None = None
    """Response to a proposed action or state that is not finite, or explodes."""
    limits: Response | None = None
    """Response to an action out of bounds or over its slew limit: ``clamp`` or ``stop``."""
    budget_s: float | None = Field(default=None, gt=0)
    """Time in seconds from a slot's beginning until its action must be ready; None for the control period."""
    late_slots: int = Field(default=10, ge=1)
    """Number of late or skipped slots, among the last ``late_window`` slots, at which the robot is stopped."""
    late_window: int = Field(default=50, ge=1)
    """Number of last slots among which the late ones are counted."""
    max_hold_s: float | None = Field(default=None, ge=0)
    """Longest time in seconds without a step of the policy, at most the contract's; None for the contract's."""
    max_observation_age_s: float | None = Field(default=None, gt=0)
    """Greatest age in seconds of an observation to act on, at most the contract's; None for the contract's."""
    frozen_s: float | None = Field(default=0.5, gt=0)
    """Time in seconds without any change, under new stamps, after which observations count as frozen; None to switch
    this check off."""
    exploded: float = Field(default=100.0, ge=1)
    """Size above which a proposed action counts as exploded, as a multiple of the largest bound."""
    bad_proposals: int = Field(default=3, ge=1)
    """Number of proposals in a row, not finite or exploded, at which the robot is stopped."""
    longest_clamp_s: float = Field(default=2.0, gt=0)
    """Longest time in seconds for which every step may be clamped; after it the robot is stopped."""
    tracking_range: float | None = Field(default=None, gt=0)
    """Largest distance of a measured element from the applied action, as a share of the element's range, where the
    contract says how the action is measured. None for 0.25 in position mode and no limit in the other modes."""
    tracking_s: float = Field(default=0.5, ge=0)
    """Longest time in seconds for which a measured element may be off by more than ``tracking_range``; after it the
    robot is stopped."""
    ramp_s: float | None = Field(default=None, ge=0)
    """Time in seconds after arming in which the policy's influence grows from none to full. None for one second, or
    for no ramp where the robot is simulated or the actions are choices."""
    reset_timeout_s: float = Field(default=60.0, gt=0)
    """Longest time in seconds for a reset."""
    deadman_s: float | None = Field(default=None, gt=0)
    """Longest time in seconds between two confirmations of the operator; None where the operator need not confirm."""

    @model_validator(mode="after")
    def _the_window_is_long_enough(self) -> GuardSettings:
        if self.late_slots > self.late_window:
            raise ValueError(f"late_slots {self.late_slots} are never reached among the last {self.late_window}")
        return self

    def responses(self, task: TaskSpec) -> Mapping[Row, Response]:
        """The response to each row of the table on a robot for this task.

        Raises:
            ConfigError: the task's control mode does not allow a chosen response.
        """
        mode = control_mode(task)
        chosen: dict[Row, Response] = {}
        for row, defaults in TABLE.items():
            response: Response | None = getattr(self, row)
            choices = allowed(row, mode)
            if response is not None and response not in choices:
                words = ", ".join(sorted(choice.value for choice in choices))
                raise ConfigError(
                    f"guard setting {row}: got {response.value!r}, but actions in {mode} mode allow only: {words}"
                )
            chosen[row] = defaults[mode] if response is None else response
        return MappingProxyType(chosen)

    def hold_s(self, task: TaskSpec) -> float:
        """The longest time without a step, in seconds.

        Raises:
            ConfigError: the setting is longer than the contract allows.
        """
        return _no_laxer("max_hold_s", self.max_hold_s, task.max_hold_s)

    def age_s(self, task: TaskSpec) -> float:
        """The greatest age of an observation to act on, in seconds.

        Raises:
            ConfigError: the setting is greater than the contract allows.
        """
        return _no_laxer("max_observation_age_s", self.max_observation_age_s, task.max_observation_age_s)

    def tracking_share(self, task: TaskSpec) -> float | None:
        """The largest distance of a measured element from the applied action, as a share of its range; None for any."""
        if self.tracking_range is not None:
            return self.tracking_range
        return _TRACKING_RANGE if control_mode(task) == "position" else None

    def ramp_in_s(self, task: TaskSpec, simulated: bool) -> float:
        """How long the policy's influence grows after arming, in seconds.

        Raises:
            ConfigError: choices cannot be ramped.
        """
        if control_mode(task) == "discrete":
            if self.ramp_s:
                raise ConfigError(
                    f"guard setting ramp_s: got {self.ramp_s:g}, but choices cannot be ramped; set it to 0"
                )
            return 0.0
        if self.ramp_s is not None:
            return self.ramp_s
        return 0.0 if simulated else _RAMP_S


def load_guard(file: Path | None, settings: Iterable[str] = ()) -> GuardSettings:
    """Read the settings of a robot's file, and change them by single settings.

    Args:
        file: JSON file with any of the fields of `GuardSettings`; None for the defaults.
        settings: fields and values such as ``late_slots=5``. A value is read as JSON; if it is not JSON, it is taken as
            text.

    Raises:
        ConfigError: the file cannot be read, there is no such field, or a value cannot be used.
    """
    content = {} if file is None else read_settings(file)
    content.update(parse_setting(text, "guard setting", "late_slots=5") for text in settings)
    try:
        return GuardSettings.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"guard settings: {first_fault(GuardSettings, error)}") from error


def _no_laxer(name: str, wanted: float | None, contract: float) -> float:
    if wanted is None:
        return contract
    if wanted > contract:
        raise ConfigError(
            f"guard setting {name}: got {wanted:g} s, but the policy's contract allows {contract:g} s at most"
        )
    return wanted
