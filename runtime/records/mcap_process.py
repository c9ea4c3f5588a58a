"""The process of the recorder: it writes the records in shared memory to an MCAP file, and makes the lines of the page.

It looks for records many times a second and gives them to the operating system four times a second: if all processes
are killed, only what came after that is lost.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from dmh_edge.errors import DmhEdgeError
from dmh_edge.runtime.records.layout import TICK
from dmh_edge.runtime.records.mcap_write import McapWriter
from dmh_edge.runtime.records.reader import Attached
from dmh_edge.runtime.report.overview import TIME_COLUMNS, Overview

_LOOK_S: Final = 0.02
_FLUSH_S: Final = 0.25


def main() -> None:
    """Record until the loop's process ends."""
    attached = Attached()
    settings = attached.settings
    try:
        file = McapWriter(settings["path"], attached.contract, settings["metadata"], settings["epoch_ns"])
    except DmhEdgeError as error:
        attached.say({"failure": str(error)})
        sys.exit(1)
    attached.say_ready()
    overview = Overview(attached.contract)
    flushed_s = time.monotonic()
    with file:
        ended = False
        while True:
            for record in attached.take_states(ended=ended):
                file.state(record)
            records = attached.take_slots(ended=ended)
            for record in records:
                file.slot(record)
            steps = records[records["kind"] == TICK]
            overview.add(steps["time_ns"], steps["figures"][:, TIME_COLUMNS], steps["applied"])
            if ended and not len(records):
                break
            if time.monotonic() - flushed_s >= _FLUSH_S:
                file.flush()
                attached.say_progress(file.kept)
                flushed_s = time.monotonic()
            ended = ended or attached.ended_within(0 if len(records) else _LOOK_S)
    attached.say_progress(file.kept)
    attached.say({"failure": file.failure, "lost": attached.lost, "overview": overview.lines().model_dump(mode="json")})
