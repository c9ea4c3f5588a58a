"""Readers of the shared memory: separate processes, started before the loop and ended after it.

    loop -> reader    the arguments of `processes.start`; then nothing, until its standard input ends
    reader -> loop    ``ready`` on its standard output once it reads; at its end, one line of JSON

A reader is a module with a ``main`` that makes an `Attached`. Its standard input ends when the loop's process is done
or dead. Ctrl-C at the terminal does not reach it: only the loop decides when it ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dmh_edge import processes
from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ArtifactError
from dmh_edge.runtime.records.layout import slot_dtype, state_dtype
from dmh_edge.shared_memory import Cursor, Ring

_READY: Final = b"ready\n"
_START_S: Final = 30.0
_FINISH_S: Final = 20.0
#: Niceness of a reader: other work has priority, above all the loop.
_NICE: Final = 5


class Reader:
    """A reader as the loop's process sees it.

    Args:
        name: name of the reader in messages.
        module: module that runs in the process.
        number: index of the reader's cell for progress in the rings.
        contract: contract of the policy.
        rings: the rings that it reads: slots and states.
        settings: everything else that the reader must know, by name.

    Attributes:
        number: index of the reader's cell for progress in the rings.
        said: what the reader reported at its end; None until then.
    """

    def __init__(
        self,
        name: str,
        module: str,
        number: int,
        contract: PolicyContract,
        rings: tuple[Ring, Ring],
        settings: dict[str, Any],
    ) -> None:
        self.number = number
        self.said: dict[str, Any] | None = None
        self._name = name
        self._ready = False
        self._failure: str | None = None  # None: `finish` has not been called yet
        self._process = processes.start(module, contract, number, rings, settings, output=subprocess.PIPE)

    def wait_until_ready(self) -> None:
        """Return once the reader reads.

        Raises:
            ArtifactError: it cannot start, and the error says why; or it was not ready within half a minute.
        """
        if self._ready:
            return
        assert self._process.stdout is not None
        line, deadline_s = b"", time.monotonic() + _START_S
        while not line.endswith(b"\n"):
            left_s = max(deadline_s - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left_s)[0]:
                raise ArtifactError(
                    f"the {self._name} did not start within {_START_S:g} s; check what keeps the machine busy"
                )
            if not (part := os.read(self._process.stdout.fileno(), 1)):
                break
            line += part
        if line != _READY:
            reason = json.loads(line).get("failure") if line.startswith(b"{") else None
            raise ArtifactError(reason or f"the {self._name} ended at its start; its output above says why")
        self._ready = True

    def finish(self) -> str:
        """Close the reader's standard input, and wait for its end. Idempotent.

        Returns:
            what went wrong with the reader, in words; empty when all went well.
        """
        if self._failure is not None:
            return self._failure
        self._failure = ""
        try:
            out, _ = self._process.communicate(timeout=_FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._failure = f"the {self._name} did not finish within {_FINISH_S:g} s and was killed"
            return self._failure
        code = self._process.returncode
        if code != 0:
            died = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self._failure = f"the {self._name} died before the run was over ({died})"
        elif self._ready and out:
            self.said = json.loads(out.splitlines()[-1])
            self._failure = str((self.said or {}).get("failure", ""))
        return self._failure


class Attached:
    """A reader inside its own process: reads the rings, and answers the loop's process.

    Attributes:
        contract: contract of the policy.
        settings: settings that the loop's process gave, by name.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service's stop reaches all; a reader ends with the loop
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # not the priority of the loop
        os.nice(_NICE)
        self.contract: PolicyContract
        self.settings: dict[str, Any]
        self.contract, self._number, (self._ring, states), self.settings = processes.received()
        self._slots, self._slot = Cursor(self._ring), slot_dtype(self.contract)
        self._states, self._state = Cursor(states), state_dtype(self.contract)

    @property
    def lost(self) -> int:
        """Number of slot records that were overwritten before this process read them."""
        return self._slots.lost

    def take_slots(self, *, ended: bool) -> NDArray[Any]:
        """The next records of the ring of slots; see `Cursor.take`."""
        return np.frombuffer(self._slots.take(ended=ended), self._slot)

    def take_states(self, *, ended: bool) -> NDArray[Any]:
        """The next records of the ring of states; see `Cursor.take`."""
        return np.frombuffer(self._states.take(ended=ended), self._state)

    def say_progress(self, amount: int) -> None:
        """Report progress; the loop's process can read it even when this process has died."""
        self._ring.say_progress(self._number, amount)

    def say_ready(self) -> None:
        """Report to the loop's process that this process reads from now on."""
        _say(_READY)

    def say(self, what: dict[str, Any]) -> None:
        """Send the loop's process one line of JSON, at the end."""
        _say(json.dumps(what).encode() + b"\n")

    def ended_within(self, seconds: float) -> bool:
        """Wait; return whether the loop's process has ended meanwhile, or closed the standard input."""
        return bool(select.select([0], [], [], seconds)[0])


def _say(data: bytes) -> None:
    with suppress(BrokenPipeError):  # the loop's process is dead
        while data:
            data = data[os.write(1, data) :]
