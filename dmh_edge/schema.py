"""Typed settings that are read from JSON: frozen, strict, and clear about what is wrong.

Every JSON text that dmh-edge reads - contracts, configurations, engine notes - is a `Spec`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from dmh_edge.errors import ContractError, unknown


class Spec(BaseModel):
    """Base of all typed settings: frozen, and an unknown field is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


S = TypeVar("S", bound=Spec)


def parse(kind: type[S], text: str, source: str) -> S:
    """Read a `Spec` from JSON text.

    Args:
        kind: class of the `Spec`.
        text: the JSON text.
        source: name of the text in an error, e.g. its path.

    Raises:
        ContractError: the text is not JSON, has another version, or a field is wrong; the error names the field, what
            was found there and what was expected.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(f"{source} is not JSON ({error}); it is truncated or altered: export it again") from error
    if "format_version" in kind.model_fields:
        version = content.get("format_version") if isinstance(content, dict) else None
        (readable,) = get_args(kind.model_fields["format_version"].annotation)
        if version != readable:
            raise ContractError(
                f"{source}: format version {version!r}, but this dmh-edge reads version {readable}; "
                "install the dmh-edge that wrote it, or export the policy again"
            )
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ContractError(f"{source}: {first_fault(kind, error)}") from error


def first_fault(kind: type[BaseModel], error: ValidationError) -> str:
    """One sentence for the first thing that pydantic found wrong, with the nearest known name for an unknown field."""
    faults = error.errors()  # a misspelt field is both unknown and missing: the unknown name says more
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join(_without_tags(kind, fault["loc"])) or "the whole"
    if fault["type"] == "extra_forbidden":
        *parents, name = fault["loc"]
        known = _fields_at(kind, parents)
        sentence = unknown("field", str(name), known) if known else f"unknown field {name!r}"
        return f"{place}: {sentence}"
    if fault["type"] == "missing":
        return f"{place}: this field is missing"
    return f"{place}: got {fault['input']!r}; {fault['msg']}"


def differences(used: Spec, wanted: Spec) -> list[str]:
    """Every field in which two specs differ, as ``model.width: 64, now 128``."""
    before, now = _flat(used.model_dump(mode="json")), _flat(wanted.model_dump(mode="json"))
    return [f"{key}: {before.get(key)!r}, now {now.get(key)!r}" for key in now if before.get(key) != now[key]]


def _fields_at(kind: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Field names of the model at ``path`` inside ``kind``; empty where they cannot be found."""
    schema = kind.model_json_schema()
    *_, (_, here) = _walk(schema, path)
    return list(_resolve(schema, here).get("properties", {}))


def _without_tags(kind: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The path as a user knows it: where a field has several kinds, pydantic's path also contains the kind's name."""
    schema = kind.model_json_schema()
    steps = list(_walk(schema, path))
    return [str(part) for (_, before), part in zip(steps, path, strict=False) if not _is_tag(schema, before, part)]


def _walk(schema: dict[str, Any], path: Sequence[int | str]) -> Iterator[tuple[int | str, dict[str, Any]]]:
    """The parts of a path and the schema of each, beginning with the whole."""
    here: dict[str, Any] = schema
    yield "", here
    for part in path:
        tag = _is_tag(schema, here, part)
        here = _resolve(schema, here)
        if isinstance(part, int):
            here = here.get("items") or (here.get("prefixItems") or [{}])[0]
        elif tag:
            here = {"$ref": here["discriminator"]["mapping"][part]}
        else:
            here = here.get("properties", {}).get(part, {})
        yield part, here


def _is_tag(schema: dict[str, Any], here: dict[str, Any], part: int | str) -> bool:
    return part in _resolve(schema, here).get("discriminator", {}).get("mapping", {})


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
