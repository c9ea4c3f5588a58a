"""Minari data sets on local disk: write them, and read those that dmh-edge or other programs wrote.

    <folder>/data/metadata.json     Minari's spaces and totals; added by dmh-edge: ``task_spec`` and ``generation``
    <folder>/data/main_data.hdf5    one group per episode:
        observations [T+1, S]   actions [T] or [T, A]   rewards, terminations, truncations [T]
        infos/expert_action     [T+1] or [T+1, A]   what the expert would do at each observation; can be missing
        attributes              options/hidden, options/history, options/number   which episode of which history

``minari.MinariDataset(folder / "data")`` opens a data set, and so does ``minari.load_dataset("darkroom-v0")`` if the
folder is ``$MINARI_DATASETS_PATH/darkroom-v0``. The format is Minari's HDF5; its arrow format would need pyarrow
(170 MB) and two small files per episode. Reading uses h5py's low-level calls, which take a third of the time that
Minari's own reader takes.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ContractError, DataError, MissingExtraError
from dmh_edge.files import replacing_folder
from dmh_edge.schema import parse
from dmh_edge.task import DiscreteAction, Element, TaskSpec, bounds_of

if TYPE_CHECKING:
    from gymnasium import Space
    from minari.data_collector import EpisodeBuffer

LABELS = ("hidden", "history", "number")
EXPERT = "infos/expert_action"
_KINDS = {"b": "boolean", "f": "float", "i": "int", "u": "unsigned int"}
_AGAIN = "make the data set again, with `dmh-edge data` or, from your own episodes, with `minari_files.write`"


def write(
    folder: Path,
    spec: TaskSpec,
    parts: Iterable[list[EpisodeBuffer]],
    *,
    algorithm: str,
    generation: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a data set, whole or not at all; an old one in the same place is replaced.

    Args:
        folder: folder of the data set; the folder ``data`` is made in it.
        spec: specification of the task, stored in the metadata.
        parts: the episodes, in lists of some; each list is written when it comes.
        algorithm: what chose the actions, in words.
        generation: settings to store in the metadata.

    Raises:
        DataError: an episode does not fit the specification; the message names the episode and the field.
        ArtifactError: the folder cannot be written.
        MissingExtraError: Minari is not installed.
    """
    try:
        import gymnasium
        import minari
        from minari.dataset.minari_storage import MinariStorage
    except ModuleNotFoundError as error:
        raise MissingExtraError("minari", "train", "writing a data set") from error
    with replacing_folder(folder, marker="data/metadata.json") as temporary:
        known = gymnasium.registry.get(spec.name)
        storage = MinariStorage.new(temporary / "data", *_spaces(spec), env_spec=known)
        storage.update_metadata(
            {
                "dataset_id": f"{spec.name}-v0",
                "minari_version": minari.__version__,
                "algorithm_name": algorithm,
                "task_spec": spec.model_dump(mode="json"),
                "generation": dict(generation),
            }
        )
        for part in parts:
            storage.update_episodes(part)
        _check(temporary, folder)


def _check(written: Path, folder: Path) -> None:
    """Refuse what training would refuse, while the old data set is still in its place."""
    from dmh_edge.data.episodes import Episodes  # here, because `episodes` imports this module

    try:
        Episodes.load(written)
    except DataError as error:
        raise DataError(f"{str(error).replace(str(written), str(folder))}; nothing was written") from error


def _spaces(spec: TaskSpec) -> tuple[Space[Any], Space[Any]]:
    """Return gymnasium's spaces of one observation and one action."""
    from gymnasium.spaces import Box, Discrete

    def box(elements: Sequence[Element]) -> Box:
        return Box(*bounds_of(elements, np.float32))

    action = spec.action
    return box(spec.observation), Discrete(action.size) if isinstance(action, DiscreteAction) else box(action.elements)


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
