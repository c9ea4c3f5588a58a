"""Read the fields of Minari data sets that dmh-edge or other programs wrote; `minari_files` describes the format.

h5py's low-level calls take a third of the time that Minari's own reader takes.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ContractError, DataError, MissingExtraError
from dmh_edge.schema import parse
from dmh_edge.task import TaskSpec

LABELS = ("hidden", "history", "number")
EXPERT = "infos/expert_action"
_KINDS = {"b": "boolean", "f": "float", "i": "int", "u": "unsigned int"}
_AGAIN = "make the data set again, with `dmh-edge data` or, from your own episodes, with `minari_files.write`"


def read_metadata(folder: Path) -> tuple[TaskSpec, int]:
    """Return the task of a data set and its number of episodes.

    Raises:
        DataError: there is no such data set, or a field that is needed is missing from its metadata.
    """
    path = folder / "data" / "metadata.json"
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; make a data set there with `dmh-edge data TASK --out {folder}` or, from your "
            "own episodes, with `minari_files.write`"
        )
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        data_format, episodes = metadata["data_format"], int(metadata["total_episodes"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder} is not a Minari data set: {path} cannot be used ({error!r}); {_AGAIN}") from error
    if data_format != "hdf5":
        raise DataError(f"{path}: data_format is {data_format!r}, expected 'hdf5'; convert it with Minari")
    if episodes < 1:
        raise DataError(f"{path}: total_episodes is {episodes}, expected at least 1; {_AGAIN}")
    if "task_spec" not in metadata:
        raise DataError(f"{path}: the field task_spec is missing; it describes the observations and actions; {_AGAIN}")
    try:
        return parse(TaskSpec, json.dumps(metadata["task_spec"]), f"{path}, field task_spec"), episodes
    except ContractError as error:
        raise DataError(str(error)) from error


def read_columns(folder: Path, episodes: int, kinds: Mapping[str, str]) -> dict[str, list[NDArray[Any]]]:
    """Read fields of all episodes, one array per field and episode; labels are read as scalars.

    Args:
        folder: folder of the data set.
        episodes: number of episodes.
        kinds: accepted kinds of element of each field, as numpy abbreviates them, e.g. ``iu`` for whole numbers. The
            field `EXPERT` is left out if the first episode does not have it.

    Raises:
        DataError: the file is missing, truncated or altered, or a field is missing or has elements of another kind.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", "train", "reading a data set") from error
    path = folder / "data" / "main_data.hdf5"
    columns: dict[str, list[NDArray[Any]]] = {field: [] for field in kinds}
    place = "the file"
    try:
        with h5py.File(path, "r") as file:
            if EXPERT in kinds and f"episode_0/{EXPERT}" not in file:
                _refuse_misspelt(path, file.get("episode_0/infos", ()))
                if some := [episode for episode in range(episodes) if f"episode_{episode}/{EXPERT}" in file]:
                    raise DataError(
                        f"{path}: episode {some[0]} has {EXPERT}, episode 0 has not; give it to all or to none"
                    )
                del columns[EXPERT]
            for episode in range(episodes):  # not field by field: the fields of an episode lie together in the file
                place = f"episode {episode}"
                group = h5py.h5g.open(file.id, b"episode_%d" % episode)
                for field, column in columns.items():
                    place = f"field {field!r} of episode {episode}"
                    array = _read(h5py, group, field)
                    if array.dtype.kind not in kinds[field]:
                        raise DataError(
                            f"{path}: {place} has elements of type {array.dtype}, "
                            f"expected {' or '.join(_KINDS[kind] for kind in kinds[field])}"
                        )
                    column.append(array)
    except KeyError as error:
        raise DataError(f"{path}: {place} is missing; each of {episodes} episodes needs it; {_AGAIN}") from error
    except (OSError, RuntimeError, TypeError, ValueError, MemoryError) as error:
        raise DataError(f"{path} is missing, truncated or altered, found at {place} ({error}); {_AGAIN}") from error
    return columns


def _refuse_misspelt(path: Path, infos: Iterable[str]) -> None:
    """Refuse a name that is almost that of the expert's actions: what it holds would be ignored."""
    name = EXPERT.removeprefix("infos/")
    if nearest := difflib.get_close_matches(name, infos, n=1):
        raise DataError(
            f"{path}: found infos/{nearest[0]}, expected {EXPERT}; rename the field, or give it a name of its own"
        )


def _read(h5py: Any, group: Any, field: str) -> NDArray[Any]:
    """Read a dataset or, for a label, an attribute, by low-level calls: the usual ones take three times as long."""
    if field in LABELS:
        attribute = h5py.h5a.open(group, f"options/{field}".encode())
        label: NDArray[Any] = np.empty(attribute.shape, attribute.dtype)
        attribute.read(label)
        return label
    dataset = h5py.h5d.open(group, field.encode())
    array: NDArray[Any] = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array, _memory_type(h5py, array.dtype))
    return array


@functools.cache
def _memory_type(h5py: Any, dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype)
