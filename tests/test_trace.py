from __future__ import annotations

import os

import numpy as np
import pytest

from dmh_edge.errors import ArtifactError
from dmh_edge.files import TEMPORARY_PREFIX
from dmh_edge.trace import Trace


def small_trace() -> Trace:
    random = np.random.default_rng(0)
    return Trace(
        weights_sha256="ab" * 32,
        world={
            "observation": random.normal(size=(4, 2, 3)).astype(np.float32),
            "episode_start": np.array([[True, False]] * 4),
        },
        outputs={"action": np.arange(8).reshape(4, 2)},
        initial_state={"memory": np.zeros((1, 2, 5), np.float32)},
        final_state={"memory": random.normal(size=(1, 2, 5)).astype(np.float32)},
        timing={"slot": np.array([0, 1, 5, 6])},
        unrecorded=17,
    )


def test_a_trace_comes_back_as_it_was_saved(tmp_path):
    trace = small_trace()
    trace.save(tmp_path / "t.npz")
    loaded = Trace.load(tmp_path / "t.npz")
    assert (loaded.weights_sha256, loaded.unrecorded, loaded.ticks, loaded.batch) == (trace.weights_sha256, 17, 4, 2)
    for group in ("world", "outputs", "initial_state", "final_state", "timing"):
        ours, theirs = getattr(trace, group), getattr(loaded, group)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype
            assert np.array_equal(array, theirs[name])


def test_a_truncated_trace_is_refused_wherever_it_was_cut(tmp_path):
    small_trace().save(tmp_path / "t.npz")
    whole = (tmp_path / "t.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match="truncated or altered"):
            Trace.load(cut)


def test_an_altered_trace_is_refused(tmp_path):
    small_trace().save(tmp_path / "t.npz")
    content = bytearray((tmp_path / "t.npz").read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(ArtifactError):
        Trace.load(tmp_path / "t.npz")


def test_a_single_array_is_no_trace(tmp_path):
    with (tmp_path / "t.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ArtifactError, match="is not a trace"):
        Trace.load(tmp_path / "t.npz")


def test_a_missing_trace_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"t\.npz"):
        Trace.load(tmp_path / "t.npz")


def test_a_trace_of_a_future_version_says_which(tmp_path):
    np.savez(tmp_path / "t.npz", version=np.array(99))
    with pytest.raises(ArtifactError, match="version 99"):
        Trace.load(tmp_path / "t.npz")


def test_a_trace_never_unpickles(tmp_path):
    np.savez(
        tmp_path / "t.npz", version=np.array(1), unrecorded=np.array(0), weights_sha256=np.array([{}], dtype=object)
    )
    with pytest.raises(ArtifactError, match="truncated or altered"):
        Trace.load(tmp_path / "t.npz")


def test_columns_of_different_length_are_no_trace(tmp_path):
    trace = small_trace()
    Trace("", trace.world, {"action": np.arange(3)}, {}, {}).save(tmp_path / "t.npz")
    with pytest.raises(ArtifactError, match=r"lengths \[3, 4\]"):
        Trace.load(tmp_path / "t.npz")


def test_a_full_disk_leaves_the_old_trace(tmp_path):
    path = tmp_path / "t.npz"
    small_trace().save(path)
    before = path.read_bytes()
    (tmp_path / f"{TEMPORARY_PREFIX}{os.getpid()}-t.npz").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match="the disk is full"):
        small_trace().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
