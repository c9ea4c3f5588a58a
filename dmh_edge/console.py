"""What the commands print: progress on standard error, results on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table

from dmh_edge.contract import ParityFigure
from dmh_edge.progress import Progress
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import coarseness

if TYPE_CHECKING:  # it imports gymnasium, which need not be installed on a robot
    from dmh_edge.evaluate import Curve, Evaluation

#: Width of tables in characters if there is no terminal: no SHA-256 and no tensor name is cut.
_WIDTH = 160

out = Console(width=None if sys.stdout.isatty() else _WIDTH)
err = Console(stderr=True, soft_wrap=True)


def say(message: str) -> None:
    """Print one line that says what is being done."""
    err.print(message, style="dim", highlight=False, markup=False)


@contextmanager
def bars() -> Iterator[Progress]:
    """Show one progress bar per piece of work; show none if standard error is not a terminal."""
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        ids = {}

        def told(name: str, done: int, total: int) -> None:
            if name not in ids:
                ids[name] = progress.add_task(name, total=total)
            progress.update(ids[name], completed=done)

        yield told


def parity_table(figures: Sequence[ParityFigure]) -> Table:
    """Make a table of parity figures, one row per comparison."""
    table = Table(title="parity: |reference - candidate| / max(1, max|reference|)", title_justify="left")
    for heading in ("reference", "candidate"):
        table.add_column(heading)
    for heading in ("ticks", "worst error", "tolerance"):
        table.add_column(heading, justify="right")
    table.add_column("worst tensor")
    for figure in figures:
        error, tolerance = f"{figure.worst_error:.1e}", f"{figure.tolerance:.1e}"
        table.add_row(figure.reference, figure.candidate, f"{figure.ticks:,}", error, tolerance, figure.worst_tensor)
    return table


def evaluation_table(evaluation: Evaluation) -> Table:
    """Make a table of the returns of a policy and its rivals, one row per agent."""
    tried = f"{len(evaluation.hidden)} hidden tasks" if evaluation.hidden else f"{len(evaluation.settings)} robots"
    tried = f"{tried}, {len(evaluation.seeds)} seeds"
    return returns_table(
        f"{evaluation.task}, {evaluation.backend}: return on {tried}, with 95% intervals",
        evaluation.curves,
    )


def returns_table(title: str, curves: Sequence[Curve]) -> Table:
    """Make a table of returns, one row per agent."""
    from dmh_edge.evaluate import edge_of

    table = Table(title=title, title_justify="left")
    table.add_column("agent")
    edge = edge_of(len(curves[0].per_episode))
    some = {1: "episode", 2: "two episodes", 3: "three episodes"}[edge]
    for heading in (f"first {some}", f"last {some}", "improvement"):
        table.add_column(heading, justify="right")
    for curve in curves:
        table.add_row(curve.name, str(curve.first), str(curve.last), str(curve.improvement))
    return table


def policy_tables(policy: Policy) -> Iterator[Table]:
    """Make the tables that an operator reads before arming: task, tensors, files, provenance and parity."""
    contract = policy.contract
    task, provenance = contract.task, contract.provenance

    facts = Table(title=f"policy {contract.name}", title_justify="left", show_header=False)
    facts.add_row("identity", policy.sha256)
    facts.add_row("model", f"{contract.model.kind}, {contract.precision}")
    facts.add_row("sizes", ", ".join(f"{name} {value}" for name, value in contract.model.sizes.items()))
    facts.add_row("task", f"{task.name} at {task.rate_hz:g} Hz, episodes of {task.horizon} steps")
    facts.add_row("action", f"{task.action.kind}, delay {task.action_delay}, held at most {task.max_hold_s:g} s")
    facts.add_row("reward", f"{task.reward.meaning} [{task.reward.low:g}, {task.reward.high:g}]")
    facts.add_row("target return", f"{task.target_return:g}")
    facts.add_row("trained", f"{provenance.training_steps:,} updates, dmh-edge {provenance.code_version}")
    facts.add_row("checkpoint", f"{provenance.checkpoint}  weights {provenance.weights_sha256[:16]}")
    facts.add_row("rounding", coarseness(contract) or "finer than the tolerance of every backend")
    facts.add_row("data", provenance.data_sha256[:16])
    yield facts

    elements = Table(title="elements", title_justify="left")
    for heading in ("", "name", "unit", "low", "high", "slew/s"):
        elements.add_column(heading)
    rows = [("observation", element) for element in task.observation]
    if task.action.kind == "continuous":
        rows += [(f"action ({task.action.mode})", element) for element in task.action.elements]
    for kind, element in rows:
        slew = "" if element.slew_per_s is None else f"{element.slew_per_s:g}"
        elements.add_row(kind, element.name, element.unit, f"{element.low:g}", f"{element.high:g}", slew)
    if task.action.kind == "discrete":
        elements.add_row("action", " | ".join(task.action.names), "", "", "", "")
    yield elements

    graphs = Table(title="graphs", title_justify="left", show_lines=True)
    for heading in ("name", "file", "due", "reads", "writes"):
        graphs.add_column(heading, overflow="fold")
    for graph in contract.model.graphs:
        due = "every tick" if graph.every == 1 else f"every {graph.every} ticks and at {graph.restart_on}"
        graphs.add_row(graph.name, graph.file, due, ", ".join(graph.inputs), ", ".join(graph.outputs))
    yield graphs

    files = Table(title="files", title_justify="left")
    for heading in ("name", "SHA-256", "note"):
        files.add_column(heading, overflow="fold")
    for name, digest in contract.files.items():
        files.add_row(name, digest, "as exported")
    if policy.has_engines:
        note = policy.engines()
        built = f"{note.builder} {note.builder_version} for {', '.join(note.targets)}, {note.precision}"
        for name, digest in note.plans.items():
            files.add_row(name, digest, f"{built}, batch {note.batch_profile[0]} to {note.batch_profile[2]}")
    yield files
    yield parity_table(contract.parity)
