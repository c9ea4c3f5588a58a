"""The command line: ``dmh-edge data | train | eval | export | inspect | parity | run | replay | bench | study``.

Commands parse, compose and print; what a Python program can do as well, they do by `dmh_edge.api`. Whatever is heavy is
imported inside the command that needs it, so that ``--help`` is quick and a robot without torch can run everything that
a robot needs.

Exit codes: 0 for success, 1 for an error that was foreseen, 2 for a command line that cannot be parsed, 3 for a run
that the guard ended, 4 for a run that missed more of its slots than --max-miss-rate allows.
"""

from __future__ import annotations

import sys

import typer

from dmh_edge.cli import bench, learning, policies, running  # noqa: F401 (each registers its commands)
from dmh_edge.cli.app import app
from dmh_edge.errors import DmhEdgeError


def main() -> None:
    """Run the command line; errors that were foreseen become one sentence and exit code 1."""
    try:
        app()
    except DmhEdgeError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
