"""Does a policy learn more in context from its own steps than from histories, at equal time, and is DM-H above AD?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dmh_edge import tasks
from dmh_edge.ceiling import ceilings
from dmh_edge.studies import compare
from dmh_edge.studies.bootstrap import ABOUT_VERDICTS, Difference
from dmh_edge.studies.cell import Cell, Trial
from dmh_edge.studies.grid_returns import (
    LAST,
    MINUTES,
    YARDSTICKS,
    ZEROED,
    GridReturns,
    episodes_of,
    results_of,
    return_rows,
    value_row,
    yardstick_rows,
    zeroed_rows,
)
from dmh_edge.studies.results import Results
from dmh_edge.studies.study import FULL, SMOKE, Budget, Study, Workshop, by_name, settings
from dmh_edge.studies.study_page import Page, table
