"""Check that a long run does not grow: memory, threads and open files of the real loop and its recorder, from /proc.

    python benchmarks/soak.py --seconds 3600 --rate 200

An untrained policy of the paper's sizes drives the fake robot, or the policy that --policy names, at its own rate. The
loop requests real time, the records are written as MCAP, and an episode of the untrained policy has 20 ticks.

Exit code 1 if, after the warm-up, the memory of a process grew by more than 1%, or a process got more threads or open
files, or if the run ended early. The recorder is allowed to grow by 10% and by the index of its file. Ctrl-C prints the
results so far.

Lateness is not measured here but by `dmh-edge bench loop`: the guard tolerates a pause of ten seconds. --watchdog gives
the robot a stop path, so that a watchdog runs and is measured as well. The watchdog tolerates only three periods and
30 ms, and rightly stops the robot on a machine that pauses for longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from live_run import PATIENT, LiveRun, Sample
from rich.table import Table
from some_policy import policy_for

from dmh_edge import console
from dmh_edge.errors import DmhEdgeError

#: Largest growth that is allowed, as a share of the memory after the warm-up.
GROWTH = 0.01
#: Longest wait for the end of a run whose helpers have ended, in seconds.
_END_S = 10
#: Name of the recorder's process, which is the name of its module.
RECORDER = "mcap_process"
#: Larger growth that the recorder is allowed: garbage gathers before it is collected. Until the end of the file, the
#: recorder also keeps the index of the chunks: four per second, 0.7 kB each.
RECORDER_GROWTH, INDEX_BYTES_PER_S = 0.1, 4096
#: Longest pause of the machine that the robot and the guard tolerate, in seconds.
PATIENCE_S = 10.0
_MB = 1e6


@dataclass(frozen=True)
class Look:
    """All processes of the run at one moment.

    Attributes:
        at_s: time since the first action, in seconds.
        processes: what each process uses, by name.
        shared: use of /dev/shm by all programs of the machine, in bytes.
    """

    at_s: float
    processes: dict[str, Sample]
    shared: int


def watch(
    run: LiveRun, seconds: float, warm_up_s: float, every_s: float, looks: list[Look], told: Callable[[float], None]
) -> None:
    """Look at the processes of a run until the time is over.

    Args:
        run: the run; it has just been started.
        seconds: duration from the first action on, in seconds.
        warm_up_s: time from the first action to the first look, in seconds.
        every_s: time between two looks, in seconds.
        looks: list to which each look is added.
        told: called with the time since the first action, in seconds.

    Raises:
        DmhEdgeError: the run ended before.
    """
    run.first_action_s()
    began_s, names = time.monotonic(), run.processes()
    next_s = warm_up_s
    while (at_s := time.monotonic() - began_s) < seconds:
        if at_s >= next_s:
            run.check()
            shm = os.statvfs("/dev/shm")
            used = (shm.f_blocks - shm.f_bfree) * shm.f_frsize
            looks.append(Look(at_s, samples(run, names), used))
            next_s += every_s
        told(at_s)
        time.sleep(min(every_s, 0.5))
    run.check()


def samples(run: LiveRun, names: dict[str, int]) -> dict[str, Sample]:
    """Return what the processes of a run use now, by name.

    Raises:
        DmhEdgeError: the run has ended.
        OSError: one of the processes has ended, but the run goes on.
    """
    try:
        return {name: Sample.of(process) for name, process in names.items()}
    except OSError:  # helpers end a moment before the loop, whose error says more
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(_END_S)
        run.check()
        raise


def complaints(looks: Sequence[Look]) -> list[str]:
    """Return a sentence for everything that has grown."""
    found = []
    for name, before in looks[0].processes.items():
        later = [look.processes[name] for look in looks]
        share, per_s = (RECORDER_GROWTH, INDEX_BYTES_PER_S) if name == RECORDER else (GROWTH, 0)
        over = [
            look.processes[name].resident / before.resident - 1
            for look in looks
            if look.processes[name].resident > (1 + share) * before.resident + per_s * (look.at_s - looks[0].at_s)
        ]
        if over:
            index = " and the index of the file" * (per_s > 0)
            found.append(
                f"{name}: resident memory grew by {max(over):.2%}, expected at most {share:.0%}{index}: "
                f"from {before.resident / _MB:.1f} to {(1 + max(over)) * before.resident / _MB:.1f} MB"
            )
        for what in ("threads", "descriptors"):
            had, most = (getattr(sample, what) for sample in (before, max(later, key=attrgetter(what))))
            if most > had:
                found += [f"{name}: got {most} {what}, expected the {had} of the first look"]
    return found


def table(looks: Sequence[Look]) -> Table:
    """Return a table of the first look, every quarter of an hour, and the end."""
    title = f"{looks[-1].at_s:.0f} s, {len(looks)} looks; each row shows the most since the row before"
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("process")
    for heading in ("at, s", "resident, MB", "to the start", "threads", "open files", "/dev/shm, MB"):
        drawn.add_column(heading, justify="right")
    quarters = [
        [look for look in looks if q * 900 <= look.at_s < (q + 1) * 900] for q in range(int(looks[-1].at_s // 900) + 1)
    ]
    parts = [looks[:1], *(quarter for quarter in quarters if quarter)]
    for name, before in looks[0].processes.items():
        for part in parts:
            samples = [look.processes[name] for look in part]
            resident = max(sample.resident for sample in samples)
            drawn.add_row(
                name,
                f"{part[-1].at_s:.0f}",
                f"{resident / _MB:.2f}",
                f"{resident / before.resident - 1:+.2%}",
                str(max(sample.threads for sample in samples)),
                str(max(sample.descriptors for sample in samples)),
                f"{max(look.shared for look in part) / _MB:.2f}",
            )
        drawn.add_section()
    return drawn


def main() -> None:
    """Run, look at the processes, and report what has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600, help="duration of the run from the first action on")
    parser.add_argument("--rate", type=float, default=200, help="control rate of the untrained policy in Hz")
    parser.add_argument("--warm-up", type=float, default=60, help="seconds before the first look")
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks")
    parser.add_argument("--watchdog", action="store_true", help="give the robot a stop path, and so a watchdog")
    parser.add_argument("--policy", type=Path, help="folder of an exported policy; it runs at its own rate")
    arguments = parser.parse_args()
    if not 0 <= arguments.warm_up < arguments.seconds:
        parser.error(
            f"--warm-up: got {arguments.warm_up:g} s, expected less than the {arguments.seconds:g} of --seconds"
        )

    looks: list[Look] = []
    summary, failure, interrupted = None, "", False
    with tempfile.TemporaryDirectory() as name:
        policy = policy_for(arguments.policy, Path(name), arguments.rate, PATIENCE_S)
        robot = (f"stoppable={json.dumps(arguments.watchdog)}", f"command_timeout_s={PATIENCE_S}")
        options = ("--realtime", "try", *PATIENT)
        with console.bars() as told, LiveRun(policy, Path(name, "soak"), options, robot) as run:
            try:
                watch(
                    run,
                    arguments.seconds,
                    arguments.warm_up,
                    arguments.every,
                    looks,
                    lambda at_s: told("seconds", int(at_s), int(arguments.seconds)),
                )
                summary = run.stop()
            except KeyboardInterrupt:
                interrupted = True
            except (DmhEdgeError, OSError) as error:
                failure = str(error)
    if looks:
        console.out.print(table(looks))
    if summary:
        print(
            f"{summary.ticks} ticks at {summary.rate_hz:g} Hz, {len(summary.returns)} episodes, "
            f"{summary.skipped_slots} slots skipped, {summary.unrecorded_ticks} ticks not in the records"
        )
        print("\n".join(grant.partition("; ")[0] for grant in summary.realtime))
    found = [failure] if failure else []
    found += complaints(looks) if looks else ["nothing was measured: the run ended before the warm-up was over"]
    print("\n".join(found) or ("nothing has grown" + " so far" * interrupted))
    sys.exit(130 if interrupted else bool(found))


if __name__ == "__main__":
    main()
