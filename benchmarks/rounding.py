"""What float32 does to trained policies: PyTorch compared with its own float64, and ONNX Runtime with PyTorch.

    python benchmarks/rounding.py runs/darkroom runs/studies/*/*

Exports each run as `dmh-edge export` does, and reads these figures from its contract:

    rounding    largest difference between float32 and float64 in PyTorch
    apart       largest difference between ONNX Runtime and PyTorch, in the tensor that comes nearest to its tolerance
    times       `apart` divided by the rounding of the same tensor

Both differences are taken over the rollouts of the export, and have the unit of the parity figures. Runs that the
export refuses are counted in a column of their own, and the reason is printed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; to use more cores, start several processes

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from dmh_edge import console
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.errors import ArtifactError, ParityError
from dmh_edge.export.pipeline import export_policy
from dmh_edge.runtime.sessions.replay import TOLERANCES

_TABLE = TOLERANCES["float32"]


class Measured(NamedTuple):
    """Figures of one policy; the docstring of this file explains them."""

    rounding: float
    apart: float
    times: float

    def __str__(self) -> str:
        return f"rounding {self.rounding:.1e}, apart {self.apart:.1e}, {self.times:.1f} times"


def main() -> None:
    """Export the runs, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="Folder of a training run.")
    found: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    refused: Counter[tuple[str, str]] = Counter()
    for run in parser.parse_args().runs:
        try:
            config = Checkpoint.load(run).header.config
            system = config.task, config.model.kind
        except ArtifactError as error:
            console.say(f"passed over: {error}")
            continue
        try:
            found[system].append(measured := _measure(run))
            console.say(f"{run}: {measured}")
        except ParityError as error:
            refused[system] += 1
            console.say(f"{run}: {error}")
    table = Table(title="The worst of each system")
    for heading in ("task", "system", "policies", "rounding", "apart", f"above {_TABLE:.0e}", "times", "refused"):
        table.add_column(heading, justify="right")
    for system in sorted(found | refused):
        of = found[system] or [Measured(0, 0, 0)]
        rounding, apart, times = (max(column) for column in zip(*of, strict=True))
        above = sum(one.apart > _TABLE for one in of)
        figures = f"{rounding:.1e}", f"{apart:.1e}", str(above), f"{times:.1f}", str(refused[system])
        table.add_row(*system, str(len(found[system])), *figures)
    console.out.print(table)


def _measure(run: Path) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        contract = export_policy(run, Path(folder, "policy")).contract
    ort = [figure for figure in contract.parity if figure.candidate == "ort-cpu float32"]
    times = max(
        figure.worst_error / rounding for figure in ort if (rounding := contract.rounding[figure.worst_tensor]) > 0
    )
    return Measured(max(contract.rounding.values()), max(figure.worst_error for figure in ort), times)


if __name__ == "__main__":
    main()
