"""Asks for real time in a process of its own: priorities and locked pages are nothing to try on the test's.

    ask_realtime.py MODE PRIVILEGES

PRIVILEGES is ``as-given`` or ``none``: no user, no capability and no limit that grants anything. Prints one line of
JSON: what was granted or refused, and what the kernel says before, inside, in a child process, in a thread, and after.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from dmh_edge.errors import ConfigError
from dmh_edge.runtime.realtime import real_time, warnings

_PR_GET_TIMERSLACK = 30
NOBODY = 65534


def seen() -> dict[str, Any]:
    """What the kernel says of the calling thread."""
    status = Path("/proc/thread-self/status").read_text()
    locked = next(line for line in status.splitlines() if line.startswith("VmLck:"))
    return {
        "policy": os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK,
        "cores": sorted(os.sched_getaffinity(0)),
        "locked": int(locked.split()[1]) > 0,
        "slack_ns": ctypes.CDLL(None).prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0),
    }


def give_up_privileges() -> None:
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def main() -> None:
    mode, privileges = sys.argv[1:]
    if privileges == "none":
        give_up_privileges()
    release, other = threading.Event(), {}
    thread = threading.Thread(target=lambda: (release.wait(), other.update(seen())), daemon=True)
    thread.start()  # before: it is not the thread that asks
    told: dict[str, Any] = {"before": seen(), "refused": "", "warnings": warnings()}
    try:
        with real_time(mode) as grants:
            told["grants"] = [[grant.what, grant.refusal, grant.remedy] for grant in grants]
            told["inside"] = seen()
            release.set()
            thread.join()
            told["other thread"] = other
            if privileges == "as-given":  # nobody need not be able to start this interpreter once more
                code = "import os; print(os.sched_getscheduler(0))"
                child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
                told["child"] = int(child.stdout)
    except ConfigError as error:
        told["refused"] = str(error)
    release.set()
    thread.join()
    told["after"] = seen()
    sys.stdout.write(json.dumps(told) + "\n")


main()
