"""What all commands share: the application that they register with, arguments that several take, missing extras."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from dmh_edge import __version__
from dmh_edge.errors import MissingExtraError

app = typer.Typer(
    name="dmh-edge",
    help="Decision Mamba-Hybrid policies, from training to a robot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="[large-]darkroom, [large-]darkroom-hard, [large-]darkroom-dynamic, [large-]key-to-door, tmaze-LENGTH "
        "(1000 if not said), dark-reacher or dark-payload; or what a data set of your own calls its task.",
    ),
]
ModelName = Annotated[
    str | None, typer.Option(help="dm-h, dm, dt, ad-transformer, ad-mamba or bc [that of --config, or dm-h].")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"dmh-edge {__version__}")
        raise typer.Exit


def require(purpose: str, extra: str, *packages: str) -> None:
    """Ask for an extra's packages before the work begins.

    Raises:
        MissingExtraError: with the command that brings them.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingExtraError(package, extra, purpose)


def is_installed(*packages: str) -> bool:
    """Whether all of them can be imported; none of them is."""
    try:
        return all(importlib.util.find_spec(package) is not None for package in packages)
    except ModuleNotFoundError:  # of `google.protobuf`, where there is not even a `google`
        return False
