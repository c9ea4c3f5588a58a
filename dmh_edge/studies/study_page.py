"""The page of a study: Markdown with plots, and the CSV file that they are computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmh_edge import plots
from dmh_edge.files import write_text
from dmh_edge.studies.results import Results


@dataclass(frozen=True)
class Page:
    """The content of a study's page.

    Attributes:
        title: title of the page.
        asked: what was measured, and how.
        verdicts: the answers, one sentence each.
        body: tables and what they mean, as blocks of Markdown.
        pictures: what each picture shows, in words, and its panels, by the name of its file.
    """

    title: str
    asked: str
    verdicts: Sequence[str]
    body: Sequence[str]
    pictures: Mapping[str, tuple[str, Sequence[plots.Panel]]]


@dataclass(frozen=True)
class Colophon:
    """How a page was made.

    Attributes:
        command: command that makes the page.
        budget: budget in words.
        machines, versions: machines and versions of everything that is on the page.
        seconds: sum of the times of everything that is on the page.
    """

    command: str
    budget: str
    machines: Sequence[str]
    versions: Sequence[str]
    seconds: float


def write(name: str, page: Page, results: Results, colophon: Colophon, out: Path) -> list[Path]:
    """Write the page's files, each whole or not at all.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArtifactError: a file cannot be written.
    """
    written = []
    for picture, (_, panels) in page.pictures.items():
        written.append(out / f"{picture}.png")
        plots.draw(panels, written[-1])
    written += [out / f"{name}.csv", out / f"{name}.md"]
    write_text(written[-2], results.csv())
    write_text(written[-1], _markdown(name, page, colophon))
    return written


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns except the first are aligned to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(name: str, page: Page, colophon: Colophon) -> str:
    pictures = [f"![{shows}]({picture}.png)" for picture, (shows, _) in page.pictures.items()]
    date = dt.datetime.now(dt.timezone.utc).date()
    facts = {
        "budget": colophon.budget,
        "machine": "; ".join(colophon.machines),
        "versions": "; ".join(colophon.versions),
        "time spent": f"{colophon.seconds / 60:.0f} min, the sum over all policies and measurements",
        "date": str(date),
    }
    parts = [
        f"# {page.title}",
        page.asked,
        "\n".join(f"- {verdict}" for verdict in page.verdicts),
        *pictures,
        *page.body,
        "## How it was made",
        f"    {colophon.command}",
        "\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
        f"[{name}.csv]({name}.csv) holds the figures that this page and its plots are computed from.",
    ]
    return "\n\n".join(parts) + "\n"
