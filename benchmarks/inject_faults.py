"""Inject faults into the real loop in real time, and let the monitor in the robot check the actions that arrive.

    python benchmarks/inject_faults.py --count 200

Injects every fault in every control mode, in three ways: once in the middle of an episode, once at the first tick of an
episode, and without an end. A signal is sent from another process, at a moment that does not depend on the slots of the
loop. The exit code is 1 if the monitor found a violation. One violation can also come from the machine: no action for
longer than the robot waits (0.1 s), because the machine did not let the process run. Judge it on a quiet machine.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import sys

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dmh_edge.faults.injection import MODES, Injected, faults_of, inject
from dmh_edge.faults.when import When

#: When a fault is injected, and the number of ticks and the horizon of the run.
WAYS = (
    (When(at=7, lasts=1), {"ticks": 20}),
    (When(at=9, lasts=1), {"ticks": 20, "horizon": 8}),
    (When(at=7), {}),
)


def main() -> None:
    """Inject the faults, and print what the monitor found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="total number of injections")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the order of the injections and of the policy's noise"
    )
    arguments = parser.parse_args()

    cases = [(fault, mode, *way) for way in WAYS for mode in MODES for fault in faults_of(mode)]
    random.Random(arguments.seed).shuffle(cases)
    by_fault: dict[str, list[Injected]] = collections.defaultdict(list)
    chosen = list(itertools.islice(itertools.cycle(cases), arguments.count))
    for number, (fault, mode, when, run) in enumerate(track(chosen, "injecting", console=Console(stderr=True))):
        by_fault[fault].append(inject(fault, mode, when, seed=arguments.seed + number, **run))

    table = Table(
        title=f"{arguments.count} injections at 50 Hz, as the monitor in the robot saw them", title_justify="left"
    )
    for heading in ("fault", "injected", "stopped", "violations", "to the stop, ms: p50", "p90", "max"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for fault, outcomes in [*sorted(by_fault.items()), ("all", list(itertools.chain(*by_fault.values())))]:
        times_ms = [1000 * outcome.to_stop_s for outcome in outcomes if outcome.to_stop_s is not None]
        figures = [f"{np.percentile(times_ms, q):.1f}" for q in (50, 90, 100)] if times_ms else ["", "", ""]
        table.add_row(
            fault,
            str(sum(outcome.injected for outcome in outcomes)),
            str(sum(outcome.stopped for outcome in outcomes)),
            str(sum(len(outcome.violations) for outcome in outcomes)),
            *figures,
        )
    Console(width=120).print(table)
    violations = [
        (fault, violation) for fault, outcomes in by_fault.items() for o in outcomes for violation in o.violations
    ]
    for fault, violation in violations:
        print(f"{fault}: {violation.rule}: {violation.detail}")
    sys.exit(bool(violations))


if __name__ == "__main__":
    main()
