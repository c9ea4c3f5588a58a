from __future__ import annotations

from pathlib import Path

import pytest

from dmh_edge.errors import ArtifactError, ConfigError
from dmh_edge.runtime.sessions.engine import locate, open_session


def test_a_folder_means_its_onnx_files(folder: Path) -> None:
    assert locate(folder, None) == (folder, "ort-cpu")


def test_the_suffix_picks_the_backend(folder: Path) -> None:
    (folder / "model.plan").touch()
    assert locate(folder / "model.onnx", None) == (folder, "ort-cpu")
    assert locate(folder / "model.plan", None) == (folder, "tensorrt")


def test_a_backend_that_fits_overrides_the_suffix(folder: Path) -> None:
    assert locate(folder, "ort-cuda") == (folder, "ort-cuda")


def test_a_backend_that_cannot_run_the_file_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--backend tensorrt cannot run .*; use ort-cpu or ort-cuda"):
        locate(folder / "model.onnx", "tensorrt")


def test_an_unknown_backend_is_refused_with_the_nearest_known_one(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown backend 'ort-gpu' \(did you mean 'ort-cpu'\?\)"):
        locate(folder, "ort-gpu")


def test_an_engine_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing.onnx does not exist"):
        locate(tmp_path / "nothing.onnx", None)


def test_a_file_that_is_no_engine_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a .json file"):
        locate(folder / "model.json", None)


def test_a_plan_runs_only_when_it_is_named(folder: Path) -> None:
    (folder / "model.plan").write_bytes(b"an engine that must not be touched")
    policy, session = open_session(folder)
    assert (policy.folder, session.backend) == (folder, "ort-cpu")
