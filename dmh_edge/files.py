"""Files that are whole or absent: atomic writing, and SHA-256.

A file is written under a temporary name in its own folder, flushed to the disk and renamed to its own name. So no
reader ever sees half of a file, and no crash or full disk leaves half of one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dmh_edge.errors import ArtifactError, DmhEdgeError

#: Prefix of the temporary names; a leftover after SIGKILL is never taken for an artifact.
TEMPORARY_PREFIX = ".partial-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on failure it disappears.

    Raises:
        ArtifactError: the folder cannot be written, or the disk is full. ``path`` is then unchanged.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    with named_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Make a folder if it does not exist, and refuse at the start what would fail at the end.

    Raises:
        ArtifactError: no file can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}; name another folder") from error


def what_failed(write: Callable[[], object]) -> str:
    """Call ``write`` and return in words why it failed; empty when it did not. The caller can then go on writing."""
    try:
        write()
    except DmhEdgeError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (the caller reports it)
        return f"{type(error).__name__}: {error}"
    return ""


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def replacing_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it replaces ``path`` and all its content.

    Args:
        path: the folder to write.
        marker: name of a file that every folder of this kind contains. A folder with other content is not replaced.

    Raises:
        ArtifactError: the folder cannot be written, the disk is full, or ``path`` is not empty and has no marker.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ArtifactError(f"{path} is not a folder, so it will not be replaced by one; name another --out")
    if path.exists() and any(path.iterdir()) and not (path / marker).exists():
        raise ArtifactError(
            f"{path} exists and has no {marker}: it is not an older version of the new folder; name another --out"
        )
    with named_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{path.name}-", dir=path.parent.absolute()))
        temporary.chmod(0o755)  # mkdtemp makes a private folder; an artifact is not private
        try:
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            _sync(temporary)
            if path.exists():
                _exchange(temporary, path)
            else:
                os.rename(temporary, path)
            _sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        ArtifactError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Swap two paths in one system call (Linux ``renameat2``), so that neither name is ever missing."""
    at_cwd, rename_exchange = -100, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


@contextlib.contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turn an error of the operating system about ``path`` into one that says what to do.

    Raises:
        ArtifactError: the disk is full, or ``path`` cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ArtifactError(f"the disk is full: {path} was not written; free some space and try again") from error
        raise ArtifactError(f"{path} cannot be written: {error.strerror or error}") from error
