"""What float32 does to trained policies: PyTorch beside its own float64, and ONNX Runtime beside PyTorch.

    python benchmarks/rounding.py runs/darkroom runs/studies/*/*

Each run is exported as `dmh-edge export` does it, and its contract read: `rounding` is the worst that PyTorch's float32
was from its float64, `apart` the worst that ONNX Runtime was from PyTorch, both over the rollouts of the export and in
the unit of the parity figures.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; start several where there are more cores

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.table import Table

from dmh_edge import console
from dmh_edge.contract import PolicyContract
from dmh_edge.errors import ArtifactError, ExportError
from dmh_edge.export.pipeline import export_policy
from dmh_edge.runtime.replay import TOLERANCES


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="Folder of a run.")
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    refused = 0
    for run in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder:
            try:
                contract = export_policy(run, Path(folder, "policy")).contract
            except (ArtifactError, ExportError) as error:
                console.say(f"{run}: {error}")
                refused += isinstance(error, ExportError)
                continue
        figures = contract.rounding, _apart(contract)
        found[contract.task.name, contract.model.kind].append(figures)
        console.say(f"{run}: rounding {figures[0]:.1e}, apart {figures[1]:.1e}")
    table = Table(title="The worst of each system")
    for heading in (
        "task",
        "system",
        "policies",
        "rounding",
        "apart",
        f"above {TOLERANCES['float32']:.0e}",
        "apart / rounding",
    ):
        table.add_column(heading, justify="right")
    for key, pairs in sorted(found.items()):
        rounding, apart = (max(column) for column in zip(*pairs, strict=True))
        above = sum(one > TOLERANCES["float32"] for _, one in pairs)
        ratio = max(one / other for other, one in pairs)
        table.add_row(*key, str(len(pairs)), f"{rounding:.1e}", f"{apart:.1e}", str(above), f"{ratio:.1f}")
    console.out.print(table)
    console.out.print(f"refused by the export: {refused}")


def _apart(contract: PolicyContract) -> float:
    return max(figure.worst_error for figure in contract.parity if figure.candidate.startswith("ort"))


if __name__ == "__main__":
    main()
