"""A user's modules are found in a folder of theirs, and hide no other module."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from dmh_edge import user_modules
from dmh_edge.extras import is_installed
from waiting import PATIENCE_S


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that this process looks in while the test runs."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    user_modules.look_in(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_user_is_found(folder):
    (folder / "my_arm_module.py").write_text("answer = 42\n")
    importlib.invalidate_caches()
    assert importlib.import_module("my_arm_module").answer == 42


def test_a_module_of_the_user_in_a_package_of_theirs_is_found(folder):
    (folder / "my_arms").mkdir()
    (folder / "my_arms" / "left.py").write_text("answer = 7\n")
    importlib.invalidate_caches()
    assert importlib.import_module("my_arms.left").answer == 7


@pytest.mark.parametrize("name", ["google", "json", "msvcrt", "numpy"])
def test_a_file_of_the_user_hides_neither_a_package_nor_a_module_of_python(folder, name):
    (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    importlib.invalidate_caches()
    if name == "msvcrt":  # of another system: a library that tries it must go on without
        with pytest.raises(ImportError):
            importlib.import_module(name)
    else:
        importlib.import_module(name)


def test_looking_twice_is_looking_once(folder):
    before = list(sys.meta_path), list(sys.path)
    user_modules.look_in(folder)
    assert (sys.meta_path, sys.path) == before
    assert user_modules.folders().count(str(folder)) == 1


def test_a_process_that_multiprocessing_spawns_finds_it_too(folder):
    (folder / "my_spawned_arm.py").write_text("def answer():\n    return 42\n")
    importlib.invalidate_caches()
    answer = importlib.import_module("my_spawned_arm").answer
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(answer).result(PATIENCE_S) == 42


def test_a_folder_of_the_user_is_no_installed_package(folder):
    (folder / "no_such_package_here").mkdir()
    importlib.invalidate_caches()
    assert not is_installed("no_such_package_here")
    assert is_installed("google.protobuf")
