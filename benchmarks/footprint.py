"""What an install on a robot needs: disk space, memory during a run, and time from the command to the first action.

    python benchmarks/footprint.py --python python3.13

Makes a new environment of that Python, builds the wheel and installs dmh-edge[ort]. In this environment it runs an
untrained policy of the paper's sizes, or the policy that --policy names, on the fake robot: with `dmh-edge run` as an
operator starts it, and without a limit of ticks, so that the trace reserves the most memory. Exit code 1 if a value of
`LIMITS` is exceeded.

Sizes are the sizes of the files, without pip, which every environment contains. A megabyte is a million bytes. The
total is printed without and with bytecode, which Python can make again at any time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from live_run import PATIENT, LiveRun, Sample
from rich.table import Table
from some_policy import policy_for

from dmh_edge import console
from dmh_edge.errors import DmhEdgeError
from dmh_edge.runtime.sessions.policy import Policy

ROOT = Path(__file__).parents[1]
#: Largest values that the project promises: in MB, in MB and in seconds.
LIMITS = {"site-packages": 180.0, "resident": 200.0, "first action": 1.5}
#: Number of packages that are listed, the largest ones first.
_LISTED = 8
_MB = 1e6
_PATIENCE_S = 1.0
_ROBOT = (f"command_timeout_s={_PATIENCE_S}",)


def install(python: str, folder: Path) -> Path:
    """Make an environment with what a robot needs.

    Args:
        python: interpreter of which the environment is made.
        folder: folder of the environment; it must not exist.

    Returns:
        path of the interpreter of the environment.
    """
    console.say(f"installing dmh-edge[ort] for {python}")
    source, wheels = folder.with_name("source"), folder.with_name("wheels")
    source.mkdir()
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for package in (
        "dmh_edge",
        "export",
        "runtime",
        "robots",
    ):  # a copy: files left from an earlier build would get into the wheel
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, symlinks=True, ignore=left_out)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    _call(python, "-m", "venv", str(folder))
    _call(sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    (wheel,) = wheels.glob("*.whl")
    inside = folder / "bin" / "python"
    _call(str(inside), *pip, "install", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[ort]")
    return inside


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DmhEdgeError(f"{' '.join(command)} failed with exit code {done.returncode}: {done.stderr.strip()}")


def sizes(site_packages: Path) -> tuple[Counter[str], int]:
    """Return the size of each package without bytecode, and the size of all bytecode, in bytes; pip is left out."""
    packages: Counter[str] = Counter()
    bytecode = 0
    for path in site_packages.rglob("*"):
        name = path.relative_to(site_packages).parts[0]
        if path.is_dir() or path.is_symlink() or name.partition("-")[0] == "pip":
            continue
        if path.suffix == ".pyc":
            bytecode += path.stat().st_size
        else:
            packages[name.partition("-")[0]] += path.stat().st_size
    return packages, bytecode


def site_packages(python: Path) -> Path:
    """Return the folder that contains the packages of an interpreter."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def command_line(python: Path) -> tuple[str, ...]:
    """Return the command that an operator types, without the PYTHONPATH of this process."""
    return "env", "-u", "PYTHONPATH", str(python.with_name("dmh-edge"))


def main() -> None:
    """Install, run, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3.13", help="Python interpreter of the robot")
    parser.add_argument(
        "--starts", type=int, default=5, help="number of starts whose median is taken; one more runs before them"
    )
    parser.add_argument("--seconds", type=float, default=20, help="duration of the runs whose memory is measured")
    parser.add_argument("--policy", type=Path, help="folder of an exported policy")
    arguments = parser.parse_args()

    found: dict[str, float] = {}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            policy = policy_for(arguments.policy, folder, 50, _PATIENCE_S)
            python = install(arguments.python, folder / "environment")
            packages, bytecode = sizes(site_packages(python))
            whole = packages.total() + bytecode
            found["site-packages"] = whole / _MB
            _print_sizes(packages, bytecode)

            program = command_line(python)
            starts_s = []
            for number in range(arguments.starts + 1):
                with LiveRun(policy, folder / f"start{number}", (), _ROBOT, program) as run:
                    starts_s.append(run.first_action_s())
            found["first action"] = statistics.median(starts_s[1:])  # the first start read the files from the disk
            listed = ", ".join(f"{seconds:.2f}" for seconds in starts_s)
            print(f"from the command to the first action: {listed} s; the median leaves out the first")
            for realtime in ("off", "try"):
                sample = memory(policy, folder / f"memory-{realtime}", realtime, arguments.seconds, program)
                found["resident"] = max(found.get("resident", 0), sample.peak / _MB)
                resident, peak = sample.resident / _MB, sample.peak / _MB
                print(f"--realtime {realtime}: {resident:.1f} MB resident, {peak:.1f} MB at most")
    except (DmhEdgeError, OSError) as error:
        print(error)
        sys.exit(1)
    missed = [name for name, limit in LIMITS.items() if found[name] > limit]
    for name, limit in LIMITS.items():
        unit = "s" if name == "first action" else "MB"
        print(f"{name}: {found[name]:.2f} {unit}, at most {limit:g}{': MISSED' * (name in missed)}")
    sys.exit(bool(missed))


def memory(policy: Policy, folder: Path, realtime: str, seconds: float, program: Sequence[str]) -> Sample:
    """Return what the loop's process uses after it has run for ``seconds``."""
    with LiveRun(policy, folder, ("--realtime", realtime, *PATIENT), _ROBOT, program) as run:
        run.first_action_s()
        time.sleep(seconds)
        run.check()
        return Sample.of(run.process.pid)


def _print_sizes(packages: Counter[str], bytecode: int) -> None:
    table = Table(title="site-packages", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("MB", justify="right")
    for name, size in packages.most_common(_LISTED):
        table.add_row(name, f"{size / _MB:.1f}")
    table.add_row("others", f"{sum(size for _, size in packages.most_common()[_LISTED:]) / _MB:.1f}", end_section=True)
    table.add_row("without bytecode", f"{packages.total() / _MB:.1f}")
    table.add_row("with bytecode", f"{(packages.total() + bytecode) / _MB:.1f}")
    console.out.print(table)


if __name__ == "__main__":
    main()
