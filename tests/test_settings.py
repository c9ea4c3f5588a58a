"""Settings as people write them; files are read in the tests of who uses them."""

from __future__ import annotations

import pytest

from dmh_edge.errors import ConfigError
from dmh_edge.settings import parse_setting


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hidden=3", 3),
        ("hidden=true", True),
        ("hidden=/dev/ttyUSB0", "/dev/ttyUSB0"),
        ('hidden="3"', "3"),
        ("hidden=a=b", "a=b"),
        ("hidden=", ""),
    ],
)
def test_a_value_is_json_and_a_word_needs_no_quotes(text, value):
    assert parse_setting(text, "--robot-option", "hidden=3") == ("hidden", value)


@pytest.mark.parametrize("text", ["hidden", "=3", ""])
def test_a_setting_needs_a_name_and_an_equals_sign(text):
    with pytest.raises(ConfigError, match=r"--robot-option '.*': expected NAME=VALUE, e\.g\. hidden=3"):
        parse_setting(text, "--robot-option", "hidden=3")
