from __future__ import annotations

import json

import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.runtime.guard.guard_settings import GUARD_NAME, GuardSettings, load_guard
from dmh_edge.runtime.guard.responses import Response


def test_a_robots_file_is_changed_by_single_settings(tmp_path):
    file = tmp_path / "arm.json"
    file.write_text(json.dumps({"late": "stop", "late_slots": 4, "frozen_s": None}))
    settings = load_guard(file, ["late_slots=5", "observation=stop"])
    assert (settings.late, settings.observation, settings.late_slots) == (Response.STOP, Response.STOP, 5)
    assert settings.frozen_s is None
    assert settings.late_window == GuardSettings().late_window


def test_what_was_used_can_be_given_back_as_a_file(tmp_path):
    used = load_guard(None, ["late=stop", "ramp_s=2.5", "frozen_s=null"])
    (tmp_path / GUARD_NAME).write_text(used.model_dump_json())
    assert load_guard(tmp_path / GUARD_NAME) == used


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("late_slot=5", "did you mean 'late_slots'"),
        ("late=halt", "late: got 'halt'"),
        ("late_slots", "expected NAME=VALUE"),
        ("=5", "expected NAME=VALUE"),
        ("late_slots=0", "late_slots: got 0"),
        ("late_slots=60", "late_slots 60 are never reached among the last 50"),
        ("max_hold_s=-1", "max_hold_s: got -1"),
        ("reset_timeout_s=NaN", "reset_timeout_s"),
    ],
)
def test_a_setting_that_is_none_is_refused(setting, says):
    with pytest.raises(ConfigError, match=says):
        load_guard(None, [setting])


@pytest.mark.parametrize(("text", "says"), [("{", "is not JSON"), ("[1]", "a JSON list"), (None, "be read")])
def test_a_file_that_is_none_is_refused(tmp_path, text, says):
    file = tmp_path / "arm.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_guard(file)
