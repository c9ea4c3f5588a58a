"""How long a test waits for what must come, shared by all tests: pytest puts this folder on their path."""

from __future__ import annotations

import time
from collections.abc import Callable

#: A guard against hanging, not a measurement: seconds that a healthy process never needs, however busy the machine is.
PATIENCE_S = 300


def wait_for(condition: Callable[[], object]) -> None:
    """Return once the condition is true; it is asked every 5 ms."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, "it did not come about"
        time.sleep(0.005)
