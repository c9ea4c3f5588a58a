from __future__ import annotations

import math
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from dmh_edge.errors import ContractError
from dmh_edge.schema import Spec, differences, parse


class Wheel(Spec):
    """One kind of part."""

    kind: Literal["wheel"] = "wheel"
    radius_m: float
    """From hub to rim."""


class Leg(Spec):
    """Another."""

    kind: Literal["leg"] = "leg"
    length_m: float


class Robot(Spec):
    """What is read."""

    format_version: Literal[3] = 3
    name: str
    parts: tuple[Annotated[Wheel | Leg, Field(discriminator="kind")], ...] = ()


def read(text):
    return parse(Robot, text, "robot.json")


def test_what_was_written_is_read_back():
    robot = Robot(name="cart", parts=(Wheel(radius_m=0.1 + 0.2), Leg(length_m=1e-300)))
    assert read(robot.model_dump_json()) == robot


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Wheel(radius_m=1).radius_m = 2  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_finite_number_is_no_setting(value):
    with pytest.raises(ValidationError, match="finite"):
        Wheel(radius_m=value)


def test_the_text_under_a_field_describes_it():
    assert Wheel.model_fields["radius_m"].description == "From hub to rim."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "robot.json is not JSON .*truncated or altered"),
        ('{"format_version": 3, "name": "ca', "robot.json is not JSON"),
        ('{"format_version": 4, "name": "cart", "new": 1}', "format version 4, but this dmh-edge reads version 3"),
        ('{"name": "cart"}', "format version None, but"),
        ("[]", "format version None"),
        ('{"format_version": 3}', "robot.json: name: this field is missing"),
        ('{"format_version": 3, "nmae": "cart"}', "nmae: unknown field 'nmae' .did you mean 'name'.*known: "),
        ('{"format_version": 3, "name": 5}', "name: got 5; .*valid string"),
        (
            '{"format_version": 3, "name": "c", "parts": [{"kind": "wheel", "radius": 1}]}',
            "parts.0.radius: unknown field 'radius' .did you mean 'radius_m'",
        ),
        (
            '{"format_version": 3, "name": "c", "parts": [{"kind": "leg", "length_m": 1}, {"kind": "arm"}]}',
            "parts.1: got .*'arm'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_place_and_reason(text, says):
    with pytest.raises(ContractError, match=says):
        read(text)


def test_differences_name_every_field_that_changed_however_deep():
    class Pair(Spec):
        robot: Robot
        spare: Wheel | None = None

    used = Pair(robot=Robot(name="cart"), spare=Wheel(radius_m=1))
    assert differences(used, used) == []
    wanted = Pair(robot=Robot(name="car", parts=(Leg(length_m=2),)), spare=Wheel(radius_m=3))
    assert differences(used, wanted) == [
        "robot.name: 'cart', now 'car'",
        "robot.parts: [], now [{'kind': 'leg', 'length_m': 2.0}]",
        "spare.radius_m: 1.0, now 3.0",
    ]
