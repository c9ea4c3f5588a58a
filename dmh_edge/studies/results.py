"""The results of a study: the rows of its CSV file. The page is computed from them alone, so both agree."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Results:
    """A table whose cells are texts, as they stand in the CSV file.

    Attributes:
        columns: names of the columns.
        rows: rows of the table, each with one cell per column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Results:
        """Make a table of texts and numbers; a number is written so that reading it gives exactly the same number."""
        return cls(tuple(columns), tuple(tuple(_text(cell) for cell in row) for row in rows))

    @classmethod
    def parse(cls, text: str) -> Results:
        """Read the table from the text of a CSV file."""
        columns, *rows = csv.reader(text.splitlines())
        return cls(tuple(columns), tuple(map(tuple, rows)))

    def csv(self) -> str:
        """Return the text of the CSV file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    def records(self, **wanted: str) -> Iterator[dict[str, str]]:
        """The rows that have the wanted cells, each cell by the name of its column."""
        for row in self.rows:
            record = dict(zip(self.columns, row, strict=True))
            if all(record[column] == cell for column, cell in wanted.items()):
                yield record


def _text(cell: object) -> str:
    return repr(float(cell)).removesuffix(".0") if isinstance(cell, float) else str(cell)
