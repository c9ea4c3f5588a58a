"""The command line: ``dmh-edge`` and a command.

    data, ceiling, train, eval, study       learning.py
    export, inspect, parity                 policies.py
    run, replay                             running.py
    bench                                   bench.py

Commands parse, compose and print. Work that a Python program can start as well is done by `dmh_edge.api`. Heavy
modules are imported inside the commands that need them, so that ``--help`` is quick and a robot without torch can run
everything that a robot needs.

Exit codes: 0 for success, 1 for an error that dmh-edge reports (`DmhEdgeError`), 2 for a command line that cannot be
parsed, 3 for a run that the guard ended, 4 for a run that missed more of its slots than --max-miss-rate allows, 130 for
a command that Ctrl-C interrupted.
"""

from __future__ import annotations

import sys

import typer

from dmh_edge.cli import bench, learning, policies, running  # noqa: F401 (each registers its commands)
from dmh_edge.cli.app import app
from dmh_edge.errors import DmhEdgeError


def main() -> None:
    """Run the command line; a `DmhEdgeError` becomes one sentence on standard error and exit code 1."""
    try:
        app()
    except DmhEdgeError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
