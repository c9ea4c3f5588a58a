"""Who may import whom, and what must work without torch."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

# Lowest first: a room imports from the rooms of lower ranks and from itself. The package itself (`dmh_edge`) stands
# above them all: it offers the names of `api`, and no room imports from it.
RANKS = (
    ("errors", "names", "version"),
    ("user_modules",),
    ("schema", "files", "clock", "processes", "progress", "shared_memory", "settings", "extras"),
    ("intervals", "task"),
    ("contract", "spaces"),
    ("trace",),
    ("models", "tasks"),
    ("data", "robots", "experts"),
    ("runtime", "config"),
    ("faults", "checkpoint", "training_log", "presets"),
    ("export", "evaluate", "learner"),
    ("lessons",),
    ("train", "plots", "ceiling", "robot_arena", "verdict"),
    ("bench",),
    ("console", "studies"),
    ("api",),
    ("cli",),
    ("",),
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}

# They import what needs torch inside the functions that need it.
IMPORT_TORCH_LATE = ("cli", "api")

# Everything else imports, and in part runs, where torch is not installed.
NEEDS_TORCH = (
    "models",
    "data.batches",
    "config",
    "presets",
    "checkpoint",
    "experts",
    "learner",
    "lessons",
    "train",
    "bench",
    "export",
    "studies",
)
# The packages' own docstrings, the TensorRT builder, and what a page is made of.
NEEDS_NO_TORCH = (
    "models",
    "models.chunks",
    "bench",
    "bench.steadiness",
    "bench.cyclictest",
    "bench.load",
    "export",
    "export.plans",
    "studies",
    "studies.paper",
    "studies.study_page",
    "studies.results",
    "studies.rehearsal",
    "studies.workers",
)

# Who may know a backend, or what writes records. TensorRT goes by two names, so its file imports it by a computed one.
KNOW = {
    "onnxruntime": {"dmh_edge.runtime.sessions.ort", "dmh_edge.experts"},
    "cuda": {"dmh_edge.runtime.sessions.cuda"},
    "mcap": {"dmh_edge.runtime.records.mcap_read", "dmh_edge.runtime.records.mcap_write"},
    "google": {"dmh_edge.runtime.records.mcap_schema"},
    "tensorrt": set(),
    "tensorrt_rtx": set(),
}
IMPORT_BY_COMPUTED_NAME = {"dmh_edge.runtime.sessions.tensorrt_library", "dmh_edge.user_modules"}


def sources() -> dict[str, Path]:
    """Every module that ships, by its name."""
    found = {}
    for package in SETUPTOOLS["packages"]:
        parent, _, name = package.rpartition(".")
        folder = SETUPTOOLS["package-dir"].get(package) or str(Path(SETUPTOOLS["package-dir"].get(parent, ""), name))
        for path in sorted((ROOT / folder).glob("*.py")):
            found[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    return found


MODULES = sources()


def called(node: ast.Call) -> str:
    """`import_module` of `importlib.import_module(...)`."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, at any depth: inside functions and conditions as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if called(node) in ("import_module", "__import__"):
                yield node.lineno, name


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of what a file imports from dmh_edge: for `dmh_edge.errors.ConfigError`, `dmh_edge.errors`."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "dmh_edge":
            prefixes = [".".join(parts[:length]) for length in range(len(parts), 1, -1)]
            known = [prefix for prefix in prefixes if prefix in MODULES or prefix.removeprefix("dmh_edge.") in RANK]
            yield line, (known or ["dmh_edge"])[0]


def room(module: str) -> str:
    """`models` of `dmh_edge.models.mamba`; empty for the package itself."""
    return module.removeprefix("dmh_edge").removeprefix(".").partition(".")[0]


def needs_torch(module: str) -> bool:
    inside = module.removeprefix("dmh_edge").removeprefix(".")
    return inside not in NEEDS_NO_TORCH and any(inside == part or inside.startswith(part + ".") for part in NEEDS_TORCH)


def test_every_room_has_a_rank():
    assert {room(module) for module in MODULES} - {""} <= set(RANK)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_ranks_and_its_own_room(module):
    upward = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {target}"
        for line, target in own_imports(MODULES[module])
        if room(target) != room(module) and not RANK[room(target)] < RANK[room(module)]
    ]
    assert not upward


@pytest.mark.parametrize("module", [module for module in MODULES if not needs_torch(module)])
def test_a_module_that_does_not_need_torch_never_asks_for_it(module):
    torch = [line for line, name in imports(MODULES[module]) if name.partition(".")[0] == "torch"]
    heavy = [
        line
        for line, name in own_imports(MODULES[module])
        if needs_torch(name) and room(module) not in IMPORT_TORCH_LATE
    ]
    assert not torch + heavy, f"{MODULES[module].relative_to(ROOT)}, lines {torch + heavy}"


@pytest.mark.parametrize("backend", KNOW)
def test_few_files_know_each_backend(backend):
    knowing = {
        module for module, path in MODULES.items() for _, name in imports(path) if name.partition(".")[0] == backend
    }
    assert knowing == KNOW[backend]


def test_only_tensorrt_and_a_user_s_robot_are_imported_by_a_computed_name():
    computing = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and called(node) == "import_module" and not isinstance(node.args[0], ast.Constant)
    }
    assert computing == IMPORT_BY_COMPUTED_NAME


def test_what_needs_no_torch_imports_where_torch_is_missing(run_without_torch):
    light = [module for module in MODULES if not needs_torch(module)]
    code = "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n    print(name)"
    done = run_without_torch(code, *light)
    assert done.stdout.split() == light, done.stderr


def test_the_helper_really_blocks_torch(run_without_torch):
    done = run_without_torch("import torch")
    assert done.returncode == 1
    assert "torch is blocked in this test" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_is_given_where_torch_is_missing(run_without_torch, arguments):
    done = run_without_torch("from dmh_edge.cli import main; main()", *arguments)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_help_imports_no_torch_where_there_is_one():
    code = (
        "import sys\nfrom dmh_edge.cli import main\n"
        "try:\n    main()\nfinally:\n    print('with torch' if 'torch' in sys.modules else 'without torch')"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "without torch"


def test_help_answers_in_half_a_second():
    command = [sys.executable, "-c", "from dmh_edge.cli import main; main()", "--help"]
    fastest_s = float("inf")
    for _ in range(10):  # processor time, and the least of a few: other tests run at the same time
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        fastest_s = min(fastest_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if fastest_s < 0.5:
            return
    pytest.fail(f"dmh-edge --help took {fastest_s:.2f} s at best")
