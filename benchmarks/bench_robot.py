"""The fake robot for benchmarks: it writes down when its first action came, and another process can stop it.

`dmh-edge run --robot bench_robot:BenchRobot` uses it when started in this folder. No torch is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dmh_edge.errors import RobotError
from dmh_edge.robots.fake_robot import FakeRobot
from dmh_edge.robots.protocol import Action
from dmh_edge.shared_memory import SharedMemory
from dmh_edge.task import TaskSpec


class BenchRobot(FakeRobot):
    """A simulated robot in real time.

    Args:
        task: the policy's task, as in its ``model.json``.
        first_action: path of a file that is written at the first action; it contains the time, in ns of
            ``CLOCK_MONOTONIC``.
        command_timeout_s: time without an action after which the robot stops by itself, in seconds.
        stoppable: whether the robot has a stop path, so that a watchdog is started for it.
    """

    def __init__(
        self, task: dict[str, Any], first_action: str, command_timeout_s: float, stoppable: bool = False
    ) -> None:
        super().__init__(TaskSpec.model_validate(task), command_timeout_s=command_timeout_s)
        self._first_action: Path | None = Path(first_action)
        self._stopped = SharedMemory(8, "bench-robot") if stoppable else None

    @property
    def stop_path(self) -> Callable[[], None] | None:
        """Let no further action through, so that the command timeout stops the robot; None without a stop path."""
        return self._stopped and partial(_stop, self._stopped)

    def write(self, action: Action) -> Action:
        """See `FakeRobot`."""
        if self._stopped and self._stopped.words[0]:
            raise RobotError("the watchdog has stopped this robot")
        applied = super().write(action)
        if self._first_action:
            whole = self._first_action.with_suffix(".part")
            whole.write_text(str(time.monotonic_ns()))
            whole.rename(self._first_action)
            self._first_action = None
        return applied


def _stop(stopped: SharedMemory) -> None:
    stopped.words[0] = 1
