"""How late a control loop is, beside a cyclictest that runs at the same time: what that sees is the machine's share.

    python benchmarks/loop_beside_cyclictest.py deploy/darkroom --rate 50 --duration 60

The loop is `dmh-edge run` on the simulated Darkroom, as a user starts it; cyclictest (package rt-tests) sleeps at the
same period and the same ordinary priority.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Run both, print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--robot", default="gym:darkroom")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--duration", type=float, default=60, help="seconds")
    arguments = parser.parse_args()
    if shutil.which("cyclictest") is None:
        sys.exit("cyclictest is not installed: apt-get install rt-tests")
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder, "run")
        period_us = round(1e6 / arguments.rate)
        loops = round(arguments.duration * arguments.rate)
        beside = ["cyclictest", "--quiet", f"--interval={period_us}", f"--loops={loops}", "--histogram=1000000"]
        run = [str(Path(sys.executable).with_name("dmh-edge")), "run", "--engine", str(arguments.engine)]
        run += ["--robot", arguments.robot, "--rate", str(arguments.rate), "--duration", str(arguments.duration)]
        with subprocess.Popen(beside, stdout=subprocess.PIPE, text=True) as cyclictest:
            subprocess.run([*run, "--out", str(records)], check=True)
            histogram, _ = cyclictest.communicate()
        summary = json.loads((records / "summary.json").read_text())

    lateness = sorted(
        latency
        for line in histogram.splitlines()
        if (m := re.match(r"^(\d+)\s+(\d+)$", line))
        for latency in [int(m[1])] * int(m[2])
    )
    table = Table(title=f"lateness in us, {arguments.rate:g} Hz for {arguments.duration:g} s", title_justify="left")
    for heading in ("", "turns", "p50", "p99", "p99.9", "max", f"later than a period ({period_us} us)"):
        table.add_column(heading, justify="right")
    quantiles = [f"{lateness[min(len(lateness) - 1, int(q * len(lateness)))]}" for q in (0.5, 0.99, 0.999)]
    late = sum(value > period_us for value in lateness)
    table.add_row("cyclictest", str(len(lateness)), *quantiles, str(lateness[-1]), str(late))
    for kind in ("actor", "boundary", "no_step"):
        timing = summary[kind]
        figures = [f"{timing['lateness'][key]:.0f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")]
        table.add_row(f"loop, {kind}", str(timing["count"]), *figures, "")
    Console(width=120).print(table)
    print(f"ticks {summary['ticks']}, overruns {summary['overruns']}, skipped slots {summary['skipped_slots']}")


if __name__ == "__main__":
    main()
