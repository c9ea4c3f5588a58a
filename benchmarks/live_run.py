"""The real `dmh-edge run` in a process of its own, on the robot of `bench_robot`, and what /proc says of a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from dmh_edge.errors import DmhEdgeError
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import parse

#: The command `dmh-edge` of the environment that this process runs in.
HERE = (sys.executable, "-c", "from dmh_edge.cli import main; main()")
ROBOT = "bench_robot:BenchRobot"
#: Options with which no number of late slots ends a run: lateness is not measured here.
PATIENT = ("--set", "late_window=100000", "--set", "late_slots=100000")
#: Longest wait for the first action, and for the end after Ctrl-C, in seconds: enough for a very busy machine.
_START_S, _END_S = 120, 60


@dataclass(frozen=True)
class Sample:
    """What a process uses now.

    Attributes:
        resident: resident memory in bytes.
        peak: largest resident memory since the process began, in bytes.
        threads: number of threads.
        descriptors: number of open files.
    """

    resident: int
    peak: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, process: int) -> Sample:
        """Read what a process uses.

        Args:
            process: number of the process.

        Raises:
            OSError: the process has ended.
        """
        folder = Path("/proc", str(process))
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        if "VmRSS" not in status:
            raise ProcessLookupError(f"process {process} has ended")
        resident, peak = (1024 * int(status[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return cls(resident, peak, int(status["Threads"]), len(list((folder / "fd").iterdir())))


class LiveRun:
    """One run, as a context manager; the process is ended on leaving, in every case.

    Args:
        policy: the policy, checked.
        folder: folder for the records and the other files of the run; it must not exist.
        options: further options of `dmh-edge run`.
        robot_options: further options of the robot, as NAME=JSON.
        program: command that starts `dmh-edge`.

    Attributes:
        process: process of the loop.
    """

    def __init__(
        self,
        policy: Policy,
        folder: Path,
        options: Sequence[str],
        robot_options: Sequence[str] = (),
        program: Sequence[str] = HERE,
    ) -> None:
        folder.mkdir(parents=True)
        self._told, self._out, self._printed = folder / "first_action", folder / "run", folder / "printed"
        given = (f"task={policy.contract.task.model_dump_json()}", f"first_action={self._told}", *robot_options)
        command = [*program, "run", "--engine", str(policy.folder.resolve()), "--robot", ROBOT]
        command += [part for option in given for part in ("--robot-option", option)]
        with self._printed.open("w") as printed:
            self._started_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                [*command, "--out", str(self._out), *options],
                cwd=Path(__file__).parent,  # where bench_robot.py is
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the benchmark only, which passes it on
            )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process."""
        self._end()

    def first_action_s(self) -> float:
        """Wait for the first action, and return its time since the start of the process, in seconds.

        Raises:
            DmhEdgeError: the run ended before, or there was no action in time.
        """
        while not self._told.exists():
            self.check()
            if time.monotonic_ns() - self._started_ns > _START_S * 1e9:
                raise DmhEdgeError(f"no action in {_START_S} s; the run printed: {self._printed.read_text()}")
            time.sleep(0.01)
        return (int(self._told.read_text()) - self._started_ns) / 1e9

    def check(self) -> None:
        """Check that the run goes on.

        Raises:
            DmhEdgeError: the run has ended.
        """
        if (code := self.process.poll()) is not None:
            raise DmhEdgeError(f"the run ended early with exit code {code}; it printed: {self._printed.read_text()}")

    def processes(self) -> dict[str, int]:
        """Return the process numbers of the loop and of its helpers; a helper has the name of its module."""
        found = {"loop": self.process.pid}
        for listed in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for child in map(int, listed.read_text().split()):
                command = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                if names := re.findall(r"\bdmh_edge(?:\.\w+)*\.(\w+)", command):
                    found[names[-1]] = child
        return found

    def stop(self) -> Summary:
        """Stop the run as an operator does, and return its summary.

        Raises:
            DmhEdgeError: the run failed, or something else stopped it.
        """
        self.check()
        self._end()
        if self.process.returncode != 0:
            self.check()
        summary = parse(Summary, (self._out / SUMMARY_NAME).read_text(), SUMMARY_NAME)
        if summary.stopped_by != "operator":
            raise DmhEdgeError(f"the run was stopped by the {summary.stopped_by}: {summary.detail}")
        return summary

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
