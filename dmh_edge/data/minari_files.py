"""Minari data sets on local disk: their format, and how they are written.

    <folder>/data/metadata.json     Minari's spaces and totals; added by dmh-edge: ``task_spec`` and ``generation``
    <folder>/data/main_data.hdf5    one group per episode:
        observations [T+1, S]   actions [T] or [T, A]   rewards, terminations, truncations [T]
        infos/expert_action     [T+1] or [T+1, A]   what the expert would do at each observation; can be missing
        attributes              options/hidden, options/history, options/number   which episode of which history

``minari.MinariDataset(folder / "data")`` opens a data set, and so does ``minari.load_dataset("darkroom-v0")`` if the
folder is ``$MINARI_DATASETS_PATH/darkroom-v0``. The format is Minari's HDF5; its arrow format would need pyarrow
(170 MB) and two small files per episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import DataError, MissingExtraError
from dmh_edge.files import replacing_folder
from dmh_edge.task import DiscreteAction, Element, TaskSpec, bounds_of

if TYPE_CHECKING:
    from gymnasium import Space
    from minari.data_collector import EpisodeBuffer


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
