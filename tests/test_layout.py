"""The list of packages, the map, the links and the folders say the same, and a built wheel holds just that."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
MAP = PROJECT["tool"]["setuptools"]["package-dir"]
TOP = [Path("dmh_edge"), *(Path(folder) for package, folder in MAP.items() if package != "dmh_edge")]


def folders() -> dict[str, Path]:
    """Package name and folder of every real folder that holds Python files, links left out."""
    found = {}
    for top in TOP:
        for folder, inside, names in os.walk(ROOT / top, followlinks=False):
            inside[:] = [name for name in inside if name != "__pycache__"]
            if any(name.endswith(".py") for name in names):
                inside_package = Path(folder).relative_to(ROOT)
                prefix = [] if top == Path("dmh_edge") else ["dmh_edge"]
                found[".".join([*prefix, *inside_package.parts])] = Path(folder)
    return found


def test_every_folder_with_python_files_is_in_the_list_and_the_reverse():
    assert sorted(folders()) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_an_init_file(package):
    assert (folders()[package] / "__init__.py").is_file()


def test_the_links_are_relative_and_say_what_the_map_says():
    links = {
        f"dmh_edge.{path.name}": str(path.readlink()) for path in (ROOT / "dmh_edge").iterdir() if path.is_symlink()
    }
    assert links == {package: f"../{folder}" for package, folder in MAP.items() if package != "dmh_edge"}


def test_git_ignores_no_folder_of_the_package():
    patterns = (ROOT / ".gitignore").read_text().split()
    names = {part for folder in folders().values() for part in folder.relative_to(ROOT).parts}
    assert not [pattern for pattern in patterns if pattern.rstrip("/") in names]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built offline from a copy, as leftovers of an earlier build would end up in it."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    for folder in TOP:
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_a_wheel_holds_the_modules_and_nothing_else(wheel):
    modules = [
        f"{package.replace('.', '/')}/{path.name}"
        for package, folder in folders().items()
        for path in folder.glob("*.py")
    ]
    shipped = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(shipped) == sorted([*modules, "dmh_edge/py.typed"])


def test_a_wheel_installs_the_command_and_the_licence(wheel):
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "dmh-edge = dmh_edge.cli:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def light_tests() -> list[str]:
    """The paths that `make test-light` runs."""
    text = (ROOT / "Makefile").read_text()
    return re.search(r"^LIGHT_TESTS := ((?:.*\\\n)*.*)$", text, re.MULTILINE)[1].replace("\\\n", " ").split()


@pytest.mark.parametrize("path", light_tests())
def test_the_light_tests_are_there_and_ask_for_no_torch(path):
    files = list((ROOT / path).rglob("*.py")) or [ROOT / path]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "torch" not in {name.partition(".")[0] for name in names}, f"{file}:{node.lineno}"
