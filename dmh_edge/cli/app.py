"""What all commands share: the application that they register with, and arguments and options of several commands.

A help text is one or more whole sentences. If the default is not a plain value, the last sentence says what it is;
typer adds plain defaults by itself. A command with more than eight options puts each option in a section of its help:
``rich_help_panel`` names the section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from dmh_edge import names
from dmh_edge.version import __version__

_UNBROKEN_HYPHEN = "\u2011"


class SectionedCommand(TyperCommand):
    """A command whose help is plain text, with a section for each ``rich_help_panel`` of its options.

    typer itself shows sections only as drawn boxes. Drawing them takes three times as long, and square brackets in a
    help text would be read as markup.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the sections and the options without a section. No name is broken at a hyphen."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            argument = parameter.param_type_name == "argument"
            section = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
            unbroken = text.replace("-", _UNBROKEN_HYPHEN)
            sections.setdefault(section, []).append((name.partition(" ")[0] if argument else name, unbroken))
        sections["Options"] = sections.pop("Options")  # last; --help is always there
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)
        formatter.buffer[:] = [piece.replace(_UNBROKEN_HYPHEN, "-") for piece in formatter.buffer]


class Application(typer.Typer):
    """A typer application whose commands are all `SectionedCommand`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[..., Any]:
        """Register a command; see `typer.Typer.command`."""
        return super().command(name, **{"cls": SectionedCommand, **settings})


app = Application(
    name="dmh-edge",
    help="Decision Mamba-Hybrid policies, from training to a robot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def choices(known: Iterable[str]) -> str:
    """Join names as a sentence lists them: ``a, b or c``."""
    *others, last = known
    return f"{', '.join(others)} or {last}"


SIMULATED_TASKS = (
    f"{choices(names.TASKS)}. A T-maze whose memory length is not 1000 is called tmaze-LENGTH, e.g. tmaze-200."
)

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help=f"Name of the task: {SIMULATED_TASKS} A task of your own is package.module:NAME, a Task in your module.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help=f"Train this kind of model: {choices(names.MODELS)}. Default: the one that --config names, or dm-h.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Change one setting of the preset and of --config, e.g. model.width=64. May be given several times.",
    ),
]
PolicyFiles = Annotated[
    Path, typer.Argument(metavar="POLICY", help="Folder of an exported policy, or an .onnx or .plan file in it.")
]


def backend_option(section: str | None = None) -> Any:
    """The option ``--backend``; `runtime.sessions.engine.locate` checks its value."""
    return typer.Option(
        metavar="BACKEND",
        rich_help_panel=section,
        help=f"Run the policy on this backend: {choices(names.BACKENDS)}. "
        "Default: tensorrt for a .plan file, else ort-cpu.",
    )


def realtime_option(section: str) -> Any:
    """``--realtime``, one of `runtime.realtime.RealTime`."""
    return typer.Option(
        rich_help_panel=section,
        help="Request priority, a core and locked memory for the loop from the kernel: off requests nothing, "
        "try goes on without what is refused, and require does not start unless everything is granted.",
    )


def spin_option(section: str) -> Any:
    """``--spin-us``; see `clock.MonotonicClock`."""
    return typer.Option(
        min=0,
        max=500,
        metavar="MICROSECONDS",
        rich_help_panel=section,
        help="Poll the clock for this long before each slot instead of sleeping; 500 at most.",
    )


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"dmh-edge {__version__}")
        raise typer.Exit
