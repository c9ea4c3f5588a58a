"""Logs of a training run: a CSV file that a resumed run continues exactly, TensorBoard events, a progress bar.

    log.csv         one row per ``log_every`` updates: means over them; nothing that depends on the clock
    tensorboard/    the same numbers, and the speed of the run
    stderr          a bar with loss, speed and time left; if stderr is not a terminal, a line every 15 seconds

The log of a run that was killed can have rows after the last checkpoint. The resumed run drops these rows and writes
them again, so that the file is, byte for byte, the same as without the interruption.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboard.compat.proto import event_pb2, summary_pb2  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from dmh_edge.files import named_faults, write_text

#: Names in the folder of a run: the CSV file, and the folder of TensorBoard's events.
LOG_NAME, EVENTS_NAME = "log.csv", "tensorboard"

#: Seconds between two lines if there is no terminal to draw a bar on.
_LINE_EVERY_S = 15.0


class TrainingLog:
    """Writes both logs of a run.

    Args:
        folder: folder of the run.
        columns: names of the numbers in a row, beside ``update``.
        step: number of updates made before; rows of later updates are dropped.

    Raises:
        ArtifactError: a log cannot be written. Every method can raise it.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...], step: int) -> None:
        self._path, self._columns = folder / LOG_NAME, columns
        write_text(self._path, ",".join(("update", *columns)) + "\n" + "".join(self._rows_until(step)))
        with named_faults(self._path):
            self._csv = self._path.open("a", encoding="utf-8", newline="")
        # TensorBoard's own writer uses a thread, which dies if the disk is full. So few rows need no thread.
        self._events_path = folder / EVENTS_NAME / f"events.out.tfevents.{time.time_ns():020d}.{os.getpid()}"
        with named_faults(self._events_path):
            self._events_path.parent.mkdir(exist_ok=True)
            self._events: IO[bytes] = self._events_path.open("wb")
        self._records = RecordWriter(self._events)
        self._record(event_pb2.Event(file_version="brain.Event:2"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._record(event_pb2.Event(step=step + 1, session_log=start))  # TensorBoard drops later points

    def write(self, update: int, numbers: Mapping[str, float], speed: Mapping[str, float]) -> None:
        """Write one row.

        Args:
            update: number of the last update that the row covers.
            numbers: number of each column.
            speed: numbers that depend on the machine; they are written only for TensorBoard.
        """
        with named_faults(self._path):
            csv.writer(self._csv, lineterminator="\n").writerow([update, *(numbers[name] for name in self._columns)])
            self._csv.flush()
        self.note(update, {**numbers, **speed})

    def note(self, update: int, numbers: Mapping[str, float]) -> None:
        """Write numbers for TensorBoard alone."""
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]
        self._record(event_pb2.Event(step=update, summary=summary_pb2.Summary(value=values)))

    def sync(self) -> None:
        """Write the rows through to the disk; a checkpoint needs all rows before it."""
        with named_faults(self._path):
            os.fsync(self._csv.fileno())

    def close(self) -> None:
        """Close both files. Idempotent."""
        try:
            with named_faults(self._events_path):
                self._events.close()
        finally:  # each close can fail if the disk is full
            with named_faults(self._path):
                self._csv.close()

    def _record(self, event: event_pb2.Event) -> None:
        event.wall_time = time.time()
        with named_faults(self._events_path):
            self._records.write(event.SerializeToString())
            self._events.flush()

    def _rows_until(self, step: int) -> list[str]:
        """Return the existing rows up to update ``step``, without a last row that was written only in part."""
        if not self._path.exists():
            return []
        with named_faults(self._path):
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        return [line for line in lines if line.endswith("\n") and int(line.partition(",")[0]) <= step]


class Display:
    """Shows the progress of a run on stderr.

    Args:
        done: number of updates made before.
        total: number of updates in all.
    """

    def __init__(self, done: int, total: int) -> None:
        self._console, self._total = Console(stderr=True, soft_wrap=True, highlight=False), total
        self._line_due = time.monotonic()
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns, TimeRemainingColumn(), console=self._console, disable=not self._console.is_terminal
        )
        self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.start()

    def close(self) -> None:
        """Stop drawing; the bar stays on the screen."""
        self._bar.stop()

    def show(self, done: int, state: str, updates_per_s: float) -> None:
        """Show how many updates are done, the state of the training in words, and the speed."""
        told = f"{state}, {updates_per_s:.2f} updates/s"
        self._bar.update(self._task, completed=done, description=told)
        if self._bar.disable and time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_EVERY_S
            left = (self._total - done) / updates_per_s
            self.say(f"update {done:,} of {self._total:,}: {told}, {left:.0f} s left")

    def say(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(sentence, markup=False)


def returns_in_words(returns: Sequence[float]) -> str:
    """Say how the return grows from the first episode to the last; nothing if there are no returns."""
    return f", return {returns[0]:.3g} -> {returns[-1]:.3g}" if returns else ""


def in_words(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
