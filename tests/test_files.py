from __future__ import annotations

import os

import pytest

from dmh_edge.errors import ArtifactError
from dmh_edge.files import TEMPORARY_PREFIX, replacing, replacing_folder, sha256, write_bytes, write_text


def fill_the_disk_for(path):
    """Make the temporary file behind ``path`` one that the kernel has no room for: needs neither root nor a mount."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}").symlink_to("/dev/full")


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "hé")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "hé".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_it_is_whole_nobody_sees_the_new_file(tmp_path):
    path = tmp_path / "a"
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_a_full_disk_says_so_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    fill_the_disk_for(path)
    with pytest.raises(ArtifactError, match="the disk is full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_named(tmp_path):
    write_bytes(tmp_path / "file", b"")
    with pytest.raises(ArtifactError, match=r"file/a cannot be written"):
        write_bytes(tmp_path / "file" / "a", b"")


def test_a_folder_takes_the_place_of_the_old_one_at_once(tmp_path):
    folder = tmp_path / "run"
    for name in ("one", "two"):
        with replacing_folder(folder, marker="kind") as temporary:
            (temporary / "kind").write_text("ours")
            (temporary / name).write_text(name)
    assert sorted(path.name for path in folder.iterdir()) == ["kind", "two"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_whose_writer_fails_stays_as_it_was(tmp_path):
    folder = tmp_path / "run"
    with replacing_folder(folder, marker="one") as temporary:
        (temporary / "one").write_text("1")

    def write_half() -> None:
        with replacing_folder(folder, marker="one") as temporary:
            (temporary / "two").write_text("2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_another_kind_is_not_replaced(tmp_path):
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "file").write_text("a file")
    for path in (precious, tmp_path / "link", tmp_path / "file"):
        with pytest.raises(ArtifactError, match="name another --out"), replacing_folder(path, marker="kind"):
            pass
    assert (precious / "thesis.tex").read_text() == "years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home", "link"]


def test_the_digest_is_sha256(tmp_path):
    write_bytes(tmp_path / "a", b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_file_has_no_digest(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        sha256(tmp_path / "a")
