"""Settings as people write them: an object in a JSON file, and single ones as ``NAME=VALUE``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dmh_edge.errors import ConfigError


def read_settings(file: Path) -> dict[str, Any]:
    """The object in a JSON file; its fields are not checked.

    Raises:
        ConfigError: the file cannot be read, is not JSON, or does not contain an object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} contains a JSON {type(content).__name__}, expected an object of settings")
    return content


def parse_setting(text: str, what: str, example: str) -> tuple[str, Any]:
    """Name and value of ``NAME=VALUE``. The value is read as JSON; if it is not JSON, it is taken as text.

    Args:
        text: the text as the user wrote it.
        what: what an error calls the text, e.g. ``guard setting``.
        example: a correct text, for the error.

    Raises:
        ConfigError: there is no name, or no equals sign.
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"{what} {text!r}: expected NAME=VALUE, e.g. {example}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
