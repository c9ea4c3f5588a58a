"""Learning histories: what is in them, in Minari's own eyes too, and that they are written whole or not at all."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import minari
import numpy as np
import pytest

from dmh_edge.data.episodes import Episodes
from dmh_edge.data.generate import generate, generated
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.tasks import find
from dmh_edge.tasks.family import Task

DARKROOM = find("darkroom")


def few(task: Task, count: int) -> Task:
    return dataclasses.replace(task, train_ids=task.train_ids[:count])


def test_minari_itself_opens_the_data_set(darkroom_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(darkroom_data.parent))
    for data in (minari.load_dataset("darkroom-v0"), minari.MinariDataset(str(darkroom_data / "data"))):
        assert data.total_episodes == 65 * 4
        episode = data[0]
        assert episode.observations.shape == (21, 2)
        assert episode.actions.shape == episode.rewards.shape == (20,)
        assert episode.infos["expert_action"].shape == (21,)
        assert episode.truncations.tolist() == [False] * 19 + [True]
        (metadata,) = data.storage.get_episode_metadata([65])
        assert metadata["options"] == {"hidden": DARKROOM.train_ids[0], "history": 0, "number": 1}
        assert data.storage.metadata["generation"]["seed"] == 0
        data.recover_environment(hidden=3).reset()


def test_the_data_hold_every_training_task_and_no_other(darkroom_episodes: Episodes) -> None:
    for number in range(4):
        assert sorted(darkroom_episodes.hidden[darkroom_episodes.number == number]) == list(DARKROOM.train_ids)


def test_each_history_begins_at_random_and_ends_as_the_expert(darkroom_episodes: Episodes) -> None:
    data = darkroom_episodes
    returns = [data.returns[data.number == number].mean() for number in range(4)]
    assert returns == sorted(returns)
    assert returns[0] < 2
    last = np.repeat(data.number == 3, data.length)
    assert data.expert_action is not None
    assert np.array_equal(data.action[last], data.expert_action[last])
    assert np.mean(data.action[~last] == data.expert_action[~last]) < 0.8


def test_observation_action_and_reward_fit_together_as_the_room_demands(darkroom_episodes: Episodes) -> None:
    data = darkroom_episodes
    steps = data.length[0]
    shape = (len(data.length), steps)
    observation = data.observation.reshape(-1, steps + 1, 2)
    rooms = DARKROOM.vector(data.hidden.tolist())
    assert np.array_equal(rooms.reset()[0], observation[:, 0])
    for step, action in enumerate(data.action.reshape(shape).T):
        after, reward, *_ = rooms.step(action)
        assert np.array_equal(after, observation[:, step + 1])
        assert np.array_equal(reward, data.reward.reshape(shape)[:, step])
    assert data.expert_action is not None
    before, hidden = observation[:, :-1].reshape(-1, 2), np.repeat(data.hidden, steps)
    assert np.array_equal(DARKROOM.expert(before, hidden, np.zeros_like(hidden)), data.expert_action)


def test_equal_seeds_make_equal_data_and_others_do_not(tmp_path: Path) -> None:
    digests = []
    for name, task, seed in [
        (a, t, s) for t in ("darkroom", "dark-reacher") for a, s in (("a", 5), ("b", 5), ("c", 6))
    ]:
        generate(few(find(task), 3), tmp_path / name, 2, 2, seed=seed)
        digests.append(Episodes.load(tmp_path / name).sha256)
    assert digests[0] == digests[1] != digests[2]
    assert digests[3] == digests[4] != digests[5]


@pytest.mark.parametrize("name", ["darkroom", "key-to-door", "tmaze-30", "dark-payload"])
def test_what_is_made_in_memory_is_what_would_be_read_from_a_file(name: str, tmp_path: Path) -> None:
    task = dataclasses.replace(few(find(name), 3), histories_per_task=2, episodes_per_history=3)
    generate(task, tmp_path / "data", None, None, seed=4)
    made, read = generated(task, seed=4), Episodes.load(tmp_path / "data", task.spec)
    for field in dataclasses.fields(Episodes):
        ours, theirs = getattr(made, field.name), getattr(read, field.name)
        assert np.array_equal(ours, theirs) if isinstance(theirs, np.ndarray) else ours == theirs, field.name
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None), field.name
    assert made.sha256 == read.sha256
    assert generated(task, 2, 3, seed=5).sha256 != made.sha256
    assert generated(task, 1, 2).number.max() == 1


@pytest.mark.parametrize(
    ("name", "poor", "expert"),
    [
        ("darkroom", 2, 16.5),
        ("darkroom-hard", 0.3, 1),
        ("darkroom-dynamic", 2, 13),
        ("key-to-door", 0.4, 2),
        ("large-darkroom", 8, 179),
        ("large-darkroom-hard", 0.3, 1),
        ("large-darkroom-dynamic", 15, 163),
        ("large-key-to-door", 0.3, 2),
        ("tmaze-200", 0.6, 1),
        ("dark-payload", -5.5, -3.4),
        ("dark-camera", -0.6, -0.01),
        ("dark-slide", -20, -9.7),
    ],
)
def test_histories_go_from_poor_to_expert_on_every_task(name: str, poor: float, expert: float) -> None:
    task = find(name)
    task = dataclasses.replace(task, train_ids=task.train_ids[:: -(-len(task.train_ids) // 200)])
    data = generated(task, 100 if name.startswith("tmaze") else 1, 5)
    returns = [data.returns[data.number == number].mean() for number in range(5)]
    assert returns == sorted(returns)
    assert returns[0] < poor
    assert returns[-1] >= expert


def test_the_advice_of_the_expert_changes_with_the_phase_of_the_true_task() -> None:
    data = generated(few(find("key-to-door"), 20), 1, 2)
    episode = np.repeat(np.arange(len(data.length)), data.length)
    before = data.observation[np.arange(len(episode)) + episode]
    task, hidden = find("key-to-door"), data.hidden[episode]
    earned = np.cumsum(data.reward) - data.reward
    phase = (earned - earned[data.start[episode]]).astype(np.int64)
    assert set(phase) == {0, 1, 2}
    assert data.expert_action is not None
    assert np.array_equal(task.expert(before, hidden, phase), data.expert_action)


def test_a_maze_of_twenty_thousand_steps_is_made_in_seconds() -> None:
    before = time.process_time()
    data = generated(find("tmaze-20000"))
    assert time.process_time() - before < 20  # takes about 4
    assert data.length.max() == 20_001
    assert data.length.sum() == sum((20_000 >> halved) + 1 for halved in range(12)) * 2 * 4 * 3
    assert set(data.returns[data.number == 2]) == {1.0}


def test_episodes_of_different_lengths_end_where_each_ends() -> None:
    task = find("tmaze-40")
    data = generated(task)
    assert set(data.length) == {41, 21, 11}
    observed = np.repeat(np.arange(len(data.length)), data.length + 1)
    assert data.expert_action is not None
    for episode, hidden in enumerate(data.hidden):
        mazes = task.vector([int(hidden)])
        expected, _ = mazes.reset()
        seen = data.observation[observed == episode]
        steps = slice(data.start[episode], data.start[episode] + data.length[episode])
        assert np.array_equal(seen[0], expected[0])
        for step, action in enumerate(data.action[steps]):
            advice = task.expert(seen[step : step + 1], np.array([hidden]), np.zeros(1, np.int64))
            assert data.expert_action[steps][step] == advice[0]
            expected, reward, _, truncated, _ = mazes.step(np.array([action]))
            assert np.array_equal(seen[step + 1], expected[0])
            assert data.reward[steps][step] == reward[0].astype(np.float32)
        assert truncated[0]


def test_histories_of_one_task_differ(tmp_path: Path) -> None:
    generate(few(DARKROOM, 5), tmp_path / "data", 2, 3, seed=0)
    data = Episodes.load(tmp_path / "data")
    assert data.history.tolist() == ([0] * 5 + [1] * 5) * 3
    assert data.hidden[:5].tolist() == data.hidden[5:10].tolist()
    assert data.action[:100].tolist() != data.action[100:200].tolist()


def test_continuous_actions_and_observations_survive_unchanged(tmp_path: Path) -> None:
    task = few(find("dark-reacher"), 2)
    generate(task, tmp_path / "data", 1, 2, seed=0)
    data = Episodes.load(tmp_path / "data", task.spec)
    assert data.action.shape == (200, 2)
    assert data.action.dtype == data.observation.dtype == np.float32
    assert data.observation.shape == (204, 8)
    assert data.expert_action is not None
    assert np.array_equal(data.action[100:], data.expert_action[100:])
    assert data.returns[2:].min() > data.returns[:2].max()


def test_without_numbers_the_task_says_how_much_is_enough(tmp_path: Path) -> None:
    task = dataclasses.replace(few(DARKROOM, 2), histories_per_task=3, episodes_per_history=2)
    generate(task, tmp_path / "data", None, None, seed=0)
    assert Episodes.load(tmp_path / "data").history.tolist() == [0, 0, 1, 1, 2, 2] * 2


def test_a_relative_folder_lies_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generate(few(find("darkroom"), 1), Path("data/relative"), 1, 2, 0)
    assert len(Episodes.load(Path("data/relative"), None).length) == 2


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    generate(few(DARKROOM, 2), tmp_path / "data", 1, 3, seed=0, progress=lambda *now: told.append(now))
    assert told == [("episodes", 2, 6), ("episodes", 4, 6), ("episodes", 6, 6)]


@pytest.mark.parametrize("numbers", [(0, 3), (3, 0)])
def test_a_number_below_one_is_refused_by_name(tmp_path: Path, numbers: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"per_(task|history): got 0, expected at least 1"):
        generate(DARKROOM, tmp_path / "data", *numbers, seed=0)


def test_a_failure_on_the_way_leaves_the_old_data_set_and_nothing_else(tmp_path: Path) -> None:
    def fail(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "data"
    generate(few(DARKROOM, 2), out, 1, 2, seed=0)
    before = Episodes.load(out).sha256
    with pytest.raises(KeyboardInterrupt):
        generate(few(DARKROOM, 2), out, 1, 2, seed=1, progress=fail)
    assert Episodes.load(out).sha256 == before
    assert list(tmp_path.iterdir()) == [out]


SCRIPT = """
import sys
from pathlib import Path
from dmh_edge.data.generate import generate, generated
from dmh_edge.tasks import find
generate(find("darkroom"), Path(sys.argv[1]), 1, 30, seed=0, progress=lambda *now: print(*now, flush=True))
"""


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.3])
def test_killed_at_any_moment_it_leaves_nothing_that_is_accepted(tmp_path: Path, wait_s: float) -> None:
    out = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first episodes are on the disk
        time.sleep(wait_s)
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    for leftover in tmp_path.iterdir():
        assert leftover.name.startswith(".partial-")
    with pytest.raises(DataError):
        Episodes.load(out)
