"""Every `dmh-edge` command line that a page quotes can be parsed: its command, its options, its settings are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer

from dmh_edge import cli, presets
from dmh_edge.runtime.guard.guard_settings import load_guard

BLOCK = re.compile(r"^    (?:[A-Z_]+=\S+ )*(dmh-edge .*)$", re.MULTILINE)
INLINE = re.compile(r"`(dmh-edge [a-z][^`]*)`")
#: Options that an older version had, which the changelog names.
GONE = {"--ramp-s", "--deadman"}


def quoted(page: Path) -> Iterator[tuple[str, bool]]:
    """Command lines, each with whether it is written out in full."""
    text = page.read_text().replace("\\\n", "")
    for line in BLOCK.findall(text):
        parts = [part.strip() for part in line.split("->")]
        yield from ((part, len(parts) == 1) for part in parts)
    yield from ((line.replace("...", ""), False) for line in INLINE.findall(text) if not GONE & set(line.split()))


def parse(line: str, complete: bool) -> tuple[str, dict[str, object]]:
    """The command of a line and its values; raises where click would refuse the line."""
    _, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(cli.app)
    context = command.make_context("dmh-edge", arguments, resilient_parsing=True)
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        command = command.commands[name]
        if complete and not hasattr(command, "commands"):
            context = command.make_context(name, arguments, parent=context)
            return name, context.params
    context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
    values, _, _ = command.make_parser(context).parse_args(arguments)
    return str(command.name), values


def test_every_command_line_can_be_parsed_and_names_known_settings(page: Path) -> None:
    for line, complete in quoted(page):
        name, values = parse(line, complete)
        settings = [setting for setting in values.get("set") or () if "=" in setting and "NAME" not in setting]
        if name == "train" and settings:
            presets.load(str(values["task"]).removesuffix("-L"), None, None, settings)
        if name == "run":
            load_guard(None, settings)


def test_pages_quote_command_lines(root: Path) -> None:
    assert sum(1 for page in (root / "docs").glob("*.md") for _ in quoted(page)) > 40
