import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from dmh_edge import config, presets
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.data.generate import generate
from dmh_edge.data.selection import validation_ids
from dmh_edge.errors import ArtifactError, ConfigError, DataError
from dmh_edge.files import TEMPORARY_PREFIX
from dmh_edge.learner import Learner
from dmh_edge.models import mamba
from dmh_edge.tasks import darkroom
from dmh_edge.train import train
from dmh_edge.training_log import EVENTS_NAME, LOG_NAME, TrainingLog
from waiting import PATIENCE_S

TINY = (
    "model.width=8",
    "model.heads=2",
    "model.chunk=10",
    "model.subgoal_size=4",
    "model.state_size=2",
    "model.memory_layers=1",
    "model.actor_layers=1",
    "model.dropout=0.1",
    "data.batch=2",
    "data.episodes_per_context=2",
    "training.updates=24",
    "training.warm_up=4",
    "training.learning_rate=1e-2",
    "training.log_every=2",
    "training.checkpoint_every=4",
    "training.device=cpu",
)


def tiny(*settings):
    return presets.load("darkroom", settings=[*TINY, *settings])


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_data(folder, seed=0):
    task = dataclasses.replace(darkroom.TASK, train_ids=darkroom.TRAIN_IDS[:4])
    generate(task, folder, 1, 3, seed=seed)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "darkroom-v0")


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("runs") / "reference"
    train(tiny(), data, out)
    return out


def rows(run):
    with (run / LOG_NAME).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def contents(run):
    """What must be the same however often a run was interrupted."""
    checkpoint = Checkpoint.load(run)
    tensors = {**checkpoint.model, **checkpoint.optimizer, **checkpoint.random}
    return (run / LOG_NAME).read_bytes(), {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def before_update(step, act, monkeypatch):
    """Do something before the update that follows so many."""
    update = Learner.update

    def acting(self, sampler):
        if self.step == step:
            act(self)
        return update(self, sampler)

    monkeypatch.setattr(Learner, "update", acting)


def interrupted(step, settings, data, out):
    """Train until somebody presses Ctrl-C."""

    def press(learner):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        before_update(step, press, patch)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data, out)


def test_a_run_leaves_settings_checkpoint_and_a_curve_that_falls(reference):
    used = json.loads((reference / config.CONFIG_NAME).read_text())
    assert used == tiny().model_dump(mode="json")
    assert presets.load("darkroom", config_file=reference / config.CONFIG_NAME) == tiny()
    assert Checkpoint.load(reference).header.step == 24
    curve = rows(reference)
    assert [row["update"] for row in curve] == list(range(2, 25, 2))
    assert np.mean([row["loss"] for row in curve[-3:]]) < 0.95 * np.mean([row["loss"] for row in curve[:3]])
    assert all(row["loss"] == pytest.approx(row["memory"] + 0.5 * row["subgoal"], rel=1e-5) for row in curve)


def test_tensorboard_shows_the_same_numbers(reference):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(reference / EVENTS_NAME)).Reload()
    assert {"loss", "memory", "learning_rate", "updates_per_s", "data_share"} <= set(events.Tags()["scalars"])
    shown = {point.step: point.value for point in events.Scalars("loss")}
    assert shown == pytest.approx({row["update"]: row["loss"] for row in rows(reference)})


def test_equal_seeds_train_equal_policies_and_other_seeds_others(data, reference, tmp_path):
    train(tiny(), data, tmp_path / "same")
    train(tiny("training.seed=1"), data, tmp_path / "other")
    assert contents(tmp_path / "same") == contents(reference)
    assert rows(tmp_path / "other")[0]["loss"] != rows(reference)[0]["loss"]


def test_an_interrupted_run_goes_on_to_the_same_curve_and_weights(data, reference, tmp_path):
    interrupted(11, tiny(), data, tmp_path)
    assert Checkpoint.load(tmp_path).header.step == 8
    assert rows(tmp_path)[-1]["update"] == 10  # behind the checkpoint
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write("1")  # and the beginning of row 12
    torch.manual_seed(12345)  # whatever went on in between
    train(tiny(), data, tmp_path, resume=True)
    assert contents(tmp_path) == contents(reference)


def test_tensorboard_forgets_what_the_killed_run_showed_behind_its_checkpoint(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, value in ((0, 1.0), (4, 2.0)):
        log = TrainingLog(tmp_path, ("loss",), start)
        for update in range(start + 2, start + 9, 2):
            log.write(update, {"loss": value}, {})
        log.close()
    events = EventAccumulator(str(tmp_path / EVENTS_NAME)).Reload()
    shown = {point.step: point.value for point in events.Scalars("loss")}
    assert shown == {2: 1.0, 4: 1.0, 6: 2.0, 8: 2.0, 10: 2.0, 12: 2.0}


def test_every_update_learns_from_contexts_of_its_own(data, tmp_path, monkeypatch):
    draw, drawn = ContextSampler.draw, []

    def noting(self, seed, update, batch):
        drawn.append((seed, update, batch))
        return draw(self, seed, update, batch)

    monkeypatch.setattr(ContextSampler, "draw", noting)
    train(tiny("training.updates=3", "training.seed=5"), data, tmp_path)
    assert drawn == [(5, 0, 2), (5, 1, 2), (5, 2, 2)]


def test_a_finished_run_has_nothing_to_resume(data, reference):
    before = contents(reference)
    assert "nothing to do" in str(train(tiny(), data, reference, resume=True))
    assert contents(reference) == before


def test_a_run_is_never_overwritten(data, reference):
    before = contents(reference)
    with pytest.raises(ConfigError, match="already holds a run; continue it with --resume"):
        train(tiny(), data, reference)
    assert contents(reference) == before


def test_other_settings_are_not_resumed_and_the_message_says_which(data, reference):
    with pytest.raises(ConfigError, match=r"model\.width: 8, now 16; training\.seed: 0, now 1\. Resume with --config"):
        train(tiny("model.width=16", "training.seed=1"), data, reference, resume=True)


def test_a_run_without_a_checkpoint_is_resumed_only_with_its_settings(data, tmp_path):
    (tmp_path / config.CONFIG_NAME).write_text(tiny().model_dump_json())
    with pytest.raises(ConfigError, match=r"training\.seed: 0, now 1"):
        train(tiny("training.seed=1"), data, tmp_path, resume=True)


def test_other_data_are_not_resumed(reference, tmp_path):
    with pytest.raises(DataError, match="other data than the run"):
        train(tiny(), make_data(tmp_path / "other-v0", seed=1), reference, resume=True)


def test_a_damaged_checkpoint_is_not_resumed_and_not_overwritten(data, tmp_path):
    interrupted(5, tiny(), data, tmp_path)
    path = tmp_path / CHECKPOINT_NAME
    path.write_bytes(path.read_bytes()[:-100])
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="truncated"):
        train(tiny(), data, tmp_path, resume=True)
    assert path.read_bytes() == before


def test_training_that_diverges_stops_at_that_update_and_keeps_the_last_good_checkpoint(data, tmp_path, monkeypatch):
    def spoil(learner):
        with torch.no_grad():
            learner.model.memory.head.weight[0, 0] = torch.inf

    before_update(6, spoil, monkeypatch)
    with pytest.raises(ConfigError, match=r"diverged at update 7: .*nan.*lower training.learning_rate"):
        train(tiny(), data, tmp_path)
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint.header.step == 4
    assert all(tensor.isfinite().all() for tensor in checkpoint.model.values())


@pytest.fixture
def filling_disk(tmp_path):
    """A folder, and what makes its disk full: a real small one for root, else the device that is always full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    filler = folder / "filler" if mounted else folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{CHECKPOINT_NAME}"

    def fill():
        if not mounted:
            filler.symlink_to("/dev/full")
            return
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        filler.write_bytes(bytes(free - 16384))  # the logs fit, a checkpoint does not

    yield folder, fill, filler
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_costs_nothing_but_the_time(filling_disk, data, reference, monkeypatch):
    folder, fill, filler = filling_disk
    with monkeypatch.context() as patch:
        before_update(5, lambda learner: fill(), patch)
        with pytest.raises(ArtifactError, match="the disk is full"):
            train(tiny(), data, folder)
    assert Checkpoint.load(folder).header.step == 4
    filler.unlink(missing_ok=True)
    train(tiny(), data, folder, resume=True)
    assert contents(folder) == contents(reference)


def test_an_output_folder_that_cannot_be_made_is_said(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        train(tiny(), data, tmp_path / "file" / "run")


def test_cuda_is_refused_where_there_is_none(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no CUDA device"):
        train(tiny("training.device=cuda"), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing_but_the_time_that_is_waited(workers, reference, data, tmp_path):
    train(tiny(f"data.workers={workers}"), data, tmp_path)
    assert (tmp_path / LOG_NAME).read_bytes() == (reference / LOG_NAME).read_bytes()


def test_a_run_goes_on_with_another_number_of_workers(reference, data, tmp_path):
    train(tiny("data.workers=0"), data, tmp_path)
    assert train(tiny("data.workers=2"), data, tmp_path, resume=True).updates == 24
    with pytest.raises(ConfigError, match=r"data.batch: 2, now 3"):
        train(tiny("data.batch=3"), data, tmp_path, resume=True)


def test_without_a_data_set_the_task_makes_one_in_memory(tmp_path, monkeypatch):
    for name, count in (("histories_per_task", 2), ("episodes_per_history", 3)):
        monkeypatch.setitem(vars(darkroom.TASK), name, count)  # less than is enough to learn from
    on_disk, in_memory = tmp_path / "on-disk", tmp_path / "in-memory"
    generate(darkroom.TASK, tmp_path / "data", None, None, 0)
    for folder, source in ((on_disk, tmp_path / "data"), (in_memory, None)):
        train(tiny("training.updates=2"), source, folder)
    one, other = (Checkpoint.load(folder) for folder in (on_disk, in_memory))
    assert one.header.data_sha256 == other.header.data_sha256
    assert one.weights_sha256 == other.weights_sha256


def test_tasks_that_are_held_out_change_what_is_learned_and_not_which_data_they_are(tmp_path, monkeypatch):
    seen = []
    original = ContextSampler.__init__

    def watched(self, episodes, **settings):
        seen.append(set(episodes.hidden.tolist()))
        original(self, episodes, **settings)

    monkeypatch.setattr(ContextSampler, "__init__", watched)
    generate(darkroom.TASK, tmp_path / "data", 1, 2, 0)
    of_all = train(tiny("training.updates=1"), tmp_path / "data", tmp_path / "all")
    assert re.fullmatch(r"1 updates in \d+ s: .+ per second, of which .+% waiting for data; loss [\d.]+", str(of_all))
    summary = train(tiny("training.updates=1", "data.hold_out=20"), tmp_path / "data", tmp_path / "few")
    held_out = set(validation_ids(darkroom.TRAIN_IDS, 20))
    assert set(summary.held_out) == held_out
    assert f"; held out: hidden {min(held_out)}, " in str(summary)
    assert seen[1] == seen[0] - held_out
    one, other = (Checkpoint.load(tmp_path / name) for name in ("all", "few"))
    assert one.header.data_sha256 == other.header.data_sha256


@pytest.mark.parametrize("setting", ["data.top_fraction=0.7", "data.label=behaviour", "training.beta2=0.5"])
def test_a_setting_is_not_only_read_but_used(setting, reference, data, tmp_path):
    train(tiny(setting), data, tmp_path)
    assert rows(tmp_path)[-1]["loss"] != rows(reference)[-1]["loss"]


def test_ctrl_c_says_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    original = Learner.update

    def interrupted(self, arrays):
        if self.step == 9:
            raise KeyboardInterrupt
        return original(self, arrays)

    monkeypatch.setattr(Learner, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), data, tmp_path)
    assert "interrupted after update 9; continue from the newest checkpoint with --resume" in capsys.readouterr().err
    assert Checkpoint.load(tmp_path).header.step == 8


def test_products_in_bfloat16_leave_the_scan_and_the_weights_in_float32(data, tmp_path, monkeypatch):
    types = set()
    original = mamba.selective_scan

    def watched(*tensors):
        types.update(tensor.dtype for tensor in tensors)
        return original(*tensors)

    monkeypatch.setattr(mamba, "selective_scan", watched)
    train(tiny("training.updates=4", "training.autocast=bfloat16"), data, tmp_path / "half")
    train(tiny("training.updates=4", "training.autocast=off"), data, tmp_path / "full")
    assert types == {torch.float32}
    assert {tensor.dtype for tensor in Checkpoint.load(tmp_path / "half").model.values()} == {torch.float32}
    half, full = rows(tmp_path / "half"), rows(tmp_path / "full")
    assert half[0]["loss"] != full[0]["loss"]
    assert half[0]["loss"] == pytest.approx(full[0]["loss"], rel=0.02)


def test_without_the_second_branch_no_sub_goal_is_logged(data, tmp_path):
    train(tiny("model.subgoal_weight=0", "training.updates=2"), data, tmp_path)
    (row,) = rows(tmp_path)
    assert "subgoal" not in row
    assert row["loss"] == row["memory"]


NURSERY = """
import json, os, random, signal, sys, time
from pathlib import Path

import torch

from dmh_edge import presets
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.train import train

settings, data, runs, kills = json.loads(sys.argv[1])
torch.set_num_threads(1)
run = presets.load("darkroom", settings=settings)

def start(name):
    child = os.fork()
    if child == 0:
        train(run, data and Path(data), Path(runs, name), resume=True)
        os._exit(0)
    return child

began = time.monotonic()
assert os.waitpid(start("reference"), 0)[1] == 0
whole = time.monotonic() - began
killed = 0
for number in range(kills):
    child = start("killed")
    time.sleep(random.Random(number).uniform(0, whole / 4))
    os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if Path(runs, "killed", "checkpoint.safetensors").exists():
        Checkpoint.load(Path(runs, "killed"))
assert os.waitpid(start("killed"), 0)[1] == 0
print(killed)
"""


@pytest.mark.parametrize("own_steps", [False, True], ids=["histories", "own steps"])
def test_kills_at_random_moments_leave_the_curve_and_the_weights_as_they_would_have_been(own_steps, data, tmp_path):
    """Each run is a real process, forked from one that has torch imported, and each kill a real SIGKILL."""
    many = [*TINY, "training.updates=60", "training.checkpoint_every=2"]
    if own_steps:  # a checkpoint at every second update and a round at every third: kills come in the midst of rounds
        many += ["on_policy.contexts=6", "on_policy.keep=12", "on_policy.reuse=1", "on_policy.short_episodes=1"]
        many += ["on_policy.lead=0.5", "on_policy.teacher=expert"]
    arguments = json.dumps([many, None if own_steps else str(data), str(tmp_path), 20])
    command = [sys.executable, "-c", NURSERY, arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10  # the others came after the end
    assert contents(tmp_path / "killed") == contents(tmp_path / "reference")
    assert Path(tmp_path, "killed", config.CONFIG_NAME).read_bytes() == (
        Path(tmp_path, "reference", config.CONFIG_NAME).read_bytes()
    )


def test_data_without_the_experts_actions_are_learned_from_and_that_is_said(data, tmp_path, capsys):
    silent = tmp_path / "silent"
    shutil.copytree(data, silent)
    with h5py.File(silent / "data" / "main_data.hdf5", "r+") as file:
        for episode in file.values():
            del episode["infos"]
    train(tiny("training.updates=2"), silent, tmp_path / "run")
    assert "the data have no infos/expert_action: the actions that were taken are imitated" in capsys.readouterr().err
    train(tiny("training.updates=2", "data.label=behaviour"), silent, tmp_path / "asked")
    assert "expert_action" not in capsys.readouterr().err
