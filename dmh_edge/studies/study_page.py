"""The page of a study: Markdown with plots, and a CSV file with what the plots show."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmh_edge import plots
from dmh_edge.files import write_text


@dataclass(frozen=True)
class Page:
    """What a study has to say.

    Attributes:
        title: of the page.
        asked: what was asked, and of what.
        verdicts: the answers, one sentence each.
        body: tables and what they mean, as blocks of Markdown.
        pictures: panels by the name of the picture, beside what it shows.
        columns, rows: of the CSV file.
    """

    title: str
    asked: str
    verdicts: Sequence[str]
    body: Sequence[str]
    pictures: Mapping[str, tuple[str, Sequence[plots.Panel]]]
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


@dataclass(frozen=True)
class Colophon:
    """How a page came about.

    Attributes:
        command: that makes it.
        budget: in words.
        machines, versions: of everything that is on it.
        seconds: that it cost, were all of it done one after the other.
    """

    command: str
    budget: str
    machines: Sequence[str]
    versions: Sequence[str]
    seconds: float


def write(name: str, page: Page, colophon: Colophon, out: Path) -> list[Path]:
    """Write the page's files, each whole or not at all.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArtifactError: a file cannot be written.
    """
    written = []
    for picture, (_, panels) in page.pictures.items():
        written.append(out / f"{picture}.png")
        plots.draw(panels, written[-1])
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(page.columns)
    table.writerows(page.rows)
    written += [out / f"{name}.csv", out / f"{name}.md"]
    write_text(written[-2], text.getvalue())
    write_text(written[-1], _markdown(name, page, colophon))
    return written


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(name: str, page: Page, colophon: Colophon) -> str:
    pictures = [f"![{shows}]({picture}.png)" for picture, (shows, _) in page.pictures.items()]
    date = dt.datetime.now(dt.timezone.utc).date()
    facts = {
        "budget": colophon.budget,
        "machine": "; ".join(colophon.machines),
        "versions": "; ".join(colophon.versions),
        "time spent": f"{colophon.seconds / 60:.0f} min, were all of it done one after the other",
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
        f"[{name}.csv]({name}.csv) holds what the plots show.",
    ]
    return "\n\n".join(parts) + "\n"
