"""Episodes: flat arrays that say what the file says, and a refusal that names the field for everything else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from dmh_edge.data import minari_files
from dmh_edge.data.episodes import Episodes
from dmh_edge.errors import DataError
from dmh_edge.tasks import find

SPEC = find("darkroom").spec


@pytest.fixture
def copy(darkroom_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(darkroom_data, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[h5py.File], Any]) -> None:
    with h5py.File(folder / "data" / "main_data.hdf5", "r+") as file:
        change(file)


def replace(field: str, values: Any, episode: int = 3) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[f"episode_{episode}/{field}"]
        file[f"episode_{episode}/{field}"] = values

    return change


def test_flat_arrays_hold_what_minari_reads(darkroom_data: Path, darkroom_episodes: Episodes) -> None:
    import minari

    data = darkroom_episodes
    for episode in minari.MinariDataset(str(darkroom_data / "data")).iterate_episodes([0, 7, 259]):
        start, length = data.start[episode.id], data.length[episode.id]
        steps, seen = slice(start, start + length), slice(start + episode.id, start + episode.id + length + 1)
        assert np.array_equal(data.observation[seen], episode.observations)
        assert np.array_equal(data.action[steps], episode.actions)
        assert np.array_equal(data.reward[steps], episode.rewards)
        assert np.array_equal(data.expert_action[steps], episode.infos["expert_action"][:-1])
        assert data.returns[episode.id] == episode.rewards.sum()


def test_the_digest_tells_content_and_not_files(copy: Path, darkroom_episodes: Episodes) -> None:
    path = copy / "data" / "main_data.hdf5"
    with h5py.File(path) as old, h5py.File(copy / "rewritten", "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
    (copy / "rewritten").replace(path)
    assert Episodes.load(copy).sha256 == darkroom_episodes.sha256
    edit(copy, replace("rewards", np.eye(20)[19]))
    assert Episodes.load(copy).sha256 != darkroom_episodes.sha256


def test_without_the_experts_actions_the_data_are_accepted(copy: Path) -> None:
    edit(copy, lambda file: [file[name].pop("infos") for name in file])
    assert Episodes.load(copy, SPEC).expert_action is None


def test_a_misspelt_name_of_the_experts_actions_is_refused(copy: Path) -> None:
    edit(copy, lambda file: [file[name]["infos"].move("expert_action", "expert_actoin") for name in file])
    with pytest.raises(DataError, match="found infos/expert_actoin, expected infos/expert_action"):
        Episodes.load(copy)


def test_experts_actions_that_only_some_episodes_have_are_refused(copy: Path) -> None:
    edit(copy, lambda file: file["episode_0"]["infos"].pop("expert_action"))
    with pytest.raises(DataError, match="episode 1 has infos/expert_action, episode 0 has not"):
        Episodes.load(copy)


def test_two_episodes_with_the_same_place_in_a_history_are_refused(copy: Path) -> None:
    def change(file: h5py.File) -> None:
        for field in ("hidden", "history", "number"):
            file["episode_9"].attrs.modify(f"options/{field}", file["episode_3"].attrs[f"options/{field}"])

    edit(copy, change)
    with pytest.raises(DataError, match=r"2 episodes have hidden \d+, history 0 and number 0; count the episodes"):
        Episodes.load(copy)


def test_episodes_that_do_not_fit_are_not_written_and_the_old_data_stay(
    copy: Path, darkroom_episodes: Episodes
) -> None:
    def buffer(x: float) -> EpisodeBuffer:
        return EpisodeBuffer(
            observations=np.full((3, 2), x, np.float32),
            actions=np.zeros(2, np.int64),
            rewards=np.zeros(2),
            terminations=np.zeros(2, bool),
            truncations=np.array([False, True]),
            options={"hidden": 0, "history": 0, "number": int(x)},
        )

    with pytest.raises(DataError, match=r"copy: field 'observations' of episode 1, step 0: x is 9.0, expected 0 to 8"):
        minari_files.write(copy, SPEC, [[buffer(1)], [buffer(9)]], algorithm="none")
    assert Episodes.load(copy).sha256 == darkroom_episodes.sha256


def test_foreign_number_types_are_converted(copy: Path, darkroom_episodes: Episodes) -> None:
    def change(file: h5py.File) -> None:
        for index in range(260):
            for field, dtype in {"observations": "f8", "actions": ">i4", "rewards": "f4"}.items():
                replace(field, file[f"episode_{index}/{field}"][()].astype(dtype), index)(file)

    edit(copy, change)
    assert Episodes.load(copy).sha256 == darkroom_episodes.sha256


def test_ragged_episodes_and_true_ends_are_read(copy: Path) -> None:
    def change(file: h5py.File) -> None:
        for field, length in {"observations": 8, "actions": 7, "rewards": 7, "infos/expert_action": 8}.items():
            replace(field, file[f"episode_3/{field}"][:length])(file)
        replace("terminations", [False] * 6 + [True])(file)

    edit(copy, change)
    data = Episodes.load(copy)
    assert data.length[2:5].tolist() == [20, 7, 20]
    assert data.terminated.nonzero()[0].tolist() == [3]
    assert data.start[4] == 67
    assert len(data.observation) == len(data.reward) + 260


@pytest.mark.parametrize(
    ("field", "values", "said"),
    [
        ("observations", np.full((21, 2), np.nan), "'observations' of episode 3, step 0: x is nan, expected 0 to 8"),
        ("observations", np.full((21, 2), 9.0), "step 0: x is 9.0, expected 0 to 8"),
        ("observations", np.zeros((20, 2)), r"has shape \(20, 2\), expected \(21, 2\)"),
        ("observations", np.zeros((21, 3)), r"has shape \(21, 3\), expected \(21, 2\)"),
        ("actions", np.full(20, 5), "'actions' of episode 3, step 0: choice is 5, expected 0 to 4"),
        ("actions", np.full(20, -1), "choice is -1"),
        ("actions", np.zeros(20), "'actions' of episode 3 has elements of type float64, expected int"),
        ("actions", np.zeros((20, 1), int), r"'actions' of episode 3 has shape \(20, 1\), expected \(20,\)"),
        ("actions", np.zeros(19, int), r"has shape \(19,\), expected \(20,\)"),
        ("rewards", np.full(20, -np.inf), "'rewards' of episode 3, step 0: reward is -inf, expected 0 to 1"),
        ("rewards", np.eye(20)[19] * 2, "'rewards' of episode 3, step 19: reward is 2.0, expected 0 to 1"),
        ("rewards", ["much"] * 20, "'rewards' of episode 3"),
        ("terminations", np.zeros(20), "'terminations' of episode 3 has elements of type float64, expected boolean"),
        ("infos/expert_action", np.full(21, 7), "'infos/expert_action' of episode 3, step 0: choice is 7"),
        ("infos/expert_action", np.zeros(20, int), r"expert_action' of episode 3 has shape \(20,\), expected \(21,\)"),
    ],
)
def test_an_odd_field_is_refused_by_name_and_place(copy: Path, field: str, values: Any, said: str) -> None:
    edit(copy, replace(field, values))
    with pytest.raises(DataError, match=said):
        Episodes.load(copy, SPEC)


@pytest.mark.parametrize("field", ["observations", "actions", "rewards", "terminations", "infos/expert_action"])
def test_a_missing_field_is_refused_by_name_and_place(copy: Path, field: str) -> None:
    edit(copy, lambda file: file["episode_9"].pop(field))
    with pytest.raises(DataError, match=f"field '{field}' of episode 9 is missing"):
        Episodes.load(copy, SPEC)


@pytest.mark.parametrize("label", ["hidden", "history", "number"])
def test_a_missing_or_odd_label_is_refused_by_name_and_place(copy: Path, label: str) -> None:
    edit(copy, lambda file: file["episode_9"].attrs.modify(f"options/{label}", -1))
    with pytest.raises(DataError, match=f"field '{label}' of episode 9 is -1, expected one number, 0 or more"):
        Episodes.load(copy)
    edit(copy, lambda file: file["episode_9"].attrs.pop(f"options/{label}"))
    with pytest.raises(DataError, match=f"field '{label}' of episode 9 is missing"):
        Episodes.load(copy)


def test_a_missing_episode_is_refused(copy: Path) -> None:
    edit(copy, lambda file: file.pop("episode_9"))
    with pytest.raises(DataError, match="found at episode 9"):
        Episodes.load(copy)


def test_an_episode_without_steps_is_refused(copy: Path) -> None:
    def change(file: h5py.File) -> None:
        for field in ("actions", "rewards", "terminations"):
            replace(field, file[f"episode_3/{field}"][:0])(file)
        for field in ("observations", "infos/expert_action"):
            replace(field, file[f"episode_3/{field}"][:1])(file)

    edit(copy, change)
    with pytest.raises(DataError, match="at least one"):
        Episodes.load(copy)


def test_what_is_no_minari_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder; make a data set there with `dmh-edge data"):
        Episodes.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not a Minari data set"):
        Episodes.load(tmp_path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
def test_a_truncated_file_is_refused(copy: Path, name: str, share: float) -> None:
    path = copy / "data" / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=name):
        Episodes.load(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "data" / "main_data.hdf5").unlink()
    with pytest.raises(DataError, match=r"main_data\.hdf5 is missing"):
        Episodes.load(copy)


def test_bytes_that_were_altered_never_end_in_a_foreign_error(copy: Path) -> None:
    path = copy / "data" / "main_data.hdf5"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(20):
        damaged = bytearray(whole)
        for place in rng.integers(0, 20_000, 40):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            Episodes.load(copy)
        except DataError:
            refused += 1
    assert refused > 10


def change_metadata(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda metadata: metadata.pop("task_spec"), "the field task_spec is missing"),
        (lambda metadata: metadata["task_spec"].pop("rate_hz"), "rate_hz: this field is missing"),
        (lambda metadata: metadata["task_spec"].update(colour="red"), "unknown field 'colour'"),
        (lambda metadata: metadata.update(data_format="arrow"), "data_format is 'arrow', expected 'hdf5'"),
        (lambda metadata: metadata.update(total_episodes=0), "total_episodes is 0, expected at least 1"),
        (lambda metadata: metadata.pop("total_episodes"), "total_episodes"),
    ],
)
def test_odd_metadata_are_refused_by_field(copy: Path, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    change_metadata(copy, change)
    with pytest.raises(DataError, match=said):
        Episodes.load(copy)


def test_data_of_another_task_are_refused_and_the_difference_is_named(copy: Path) -> None:
    with pytest.raises(DataError, match=r"another task than the built-in 'dark-reacher': name is 'darkroom'"):
        Episodes.load(copy, find("dark-reacher").spec)
    wider = SPEC.observation[1].model_copy(update={"high": 9, "levels": 10})
    larger = SPEC.model_copy(update={"observation": (SPEC.observation[0], wider)})
    with pytest.raises(DataError, match=r"observation is different at element 1: .*high=8.*, expected .*high=9"):
        Episodes.load(copy, larger)
    with pytest.raises(DataError, match="observation is 2 elements, expected 1"):
        Episodes.load(copy, SPEC.model_copy(update={"observation": SPEC.observation[:1]}))
    with pytest.raises(DataError, match=r"rate_hz is 50\.0, expected 20"):
        Episodes.load(copy, SPEC.model_copy(update={"rate_hz": 20.0}))
