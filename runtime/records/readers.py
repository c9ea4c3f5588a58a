"""Readers of the shared memory: processes of their own, started before the loop and ended after it.

A reader is a module with a ``main`` that calls `attach`. It is told what to do in one JSON line on its standard input,
says ``ready`` on its standard output, and ends when its standard input does: when the loop's process is done, or dead.
What it has to say at its end is one JSON line too.

Readers stand in a session of their own, so that a Ctrl-C at the terminal reaches the loop alone, which decides.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Final

from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ArtifactError
from dmh_edge.runtime.records.layout import slot_dtype, state_dtype
from dmh_edge.runtime.records.ring import Ring

_READY: Final = b"ready\n"
_START_S: Final = 30.0
_FINISH_S: Final = 20.0
#: Other work goes first, the loop before all.
_NICE: Final = 5


class Reader:
    """A reader as the loop's process sees it.

    Args:
        module: what runs there.
        number: which of the rings' cells for progress is its own.
        contract: the policy's.
        slots, states: what it reads.
        settings: anything else that it must know, as JSON.

    Attributes:
        number: as given.
        said: what it said at its end; None while it has not.
    """

    def __init__(
        self,
        module: str,
        number: int,
        contract: PolicyContract,
        slots: Ring,
        states: Ring,
        settings: dict[str, Any],
    ) -> None:
        self.number = number
        self.said: dict[str, Any] | None = None
        self._name = module.rpartition(".")[2].replace("_", " ")
        self._ready = False
        self._failure: str | None = None  # None: it has not been finished yet
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(slots.descriptor, states.descriptor),
            start_new_session=True,
        )
        told = {
            "contract": contract.model_dump(mode="json"),
            "number": number,
            "rings": [[ring.descriptor, ring.capacity] for ring in (slots, states)],
            **settings,
        }
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `wait_until_ready` says what became of it
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def process_id(self) -> int:
        """Of its process."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return once it reads.

        Raises:
            ArtifactError: it cannot, says why, or has not said so in half a minute.
        """
        if self._ready:
            return
        assert self._process.stdout is not None
        line, deadline_s = b"", time.monotonic() + _START_S
        while not line.endswith(b"\n"):
            left_s = max(deadline_s - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left_s)[0]:
                raise ArtifactError(
                    f"the {self._name} did not start in {_START_S:g} s; see what keeps the machine busy"
                )
            if not (part := os.read(self._process.stdout.fileno(), 1)):
                break
            line += part
        if line != _READY:
            reason = json.loads(line).get("failure") if line.startswith(b"{") else None
            raise ArtifactError(reason or f"the {self._name} ended at its start; what it said stands above")
        self._ready = True

    def finish(self) -> str:
        """Tell it that nothing comes any more, and wait for its end. Idempotent.

        Returns:
            what went wrong with it, in words; empty when it all went well.
        """
        if self._failure is not None:
            return self._failure
        self._failure = ""
        try:
            out, _ = self._process.communicate(timeout=_FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._failure = f"the {self._name} did not finish in {_FINISH_S:g} s and was ended"
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
    """The same, as the reader itself sees it.

    Attributes:
        contract: the policy's.
        number: the reader's.
        slots, states: the rings.
        settings: all that it was told.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service's stop reaches all; the loop's end is what ends us
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # whatever the loop had
        os.nice(_NICE)
        line = b""
        while not line.endswith(b"\n") and (part := os.read(0, 1 << 16)):
            line += part
        self.settings = json.loads(line)
        self.contract = PolicyContract.model_validate(self.settings["contract"])
        self.number = int(self.settings["number"])
        (slots, slot_count), (states, state_count) = self.settings["rings"]
        self.slots = Ring(slots, slot_dtype(self.contract), slot_count)
        self.states = Ring(states, state_dtype(self.contract), state_count)

    def say_ready(self) -> None:
        """Everything that can be refused has been."""
        _say(_READY)

    def say(self, what: dict[str, Any]) -> None:
        """The last word."""
        _say(json.dumps(what).encode() + b"\n")

    def ended_within(self, seconds: float) -> bool:
        """Wait so long; whether the loop's process has ended meanwhile, or let go of us."""
        return bool(select.select([0], [], [], seconds)[0])


def _say(data: bytes) -> None:
    with suppress(BrokenPipeError):  # nobody is left to hear it
        while data:
            data = data[os.write(1, data) :]
