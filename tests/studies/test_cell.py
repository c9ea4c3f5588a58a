from __future__ import annotations

import csv
import fcntl
import json
import threading
import time
from pathlib import Path

import pytest

from dmh_edge import tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.data.selection import validation_ids
from dmh_edge.errors import ConfigError
from dmh_edge.studies import cell as cells
from dmh_edge.studies.cell import finish
from waiting import PATIENCE_S


def never(*_: object, **__: object) -> None:
    raise AssertionError("this was done before")


def test_what_is_done_is_not_done_again(cell, tmp_path, monkeypatch):
    first = finish(cell(), tmp_path)
    monkeypatch.setattr(cells, "train", never)
    monkeypatch.setattr(cells, "evaluate", never)
    assert finish(cell(), tmp_path) == first
    assert first.evaluations[0].hidden == [0, 1]
    assert first.spent.seconds > 0


def test_how_well_a_policy_imitated_is_read_from_the_end_of_its_log(cell, tmp_path):
    done = finish(cell("dm-h", task="darkroom", tried_on=("darkroom",)), tmp_path)
    log = done.cell.folder(tmp_path) / "log.csv"
    assert done.loss == pytest.approx(float(list(csv.DictReader(log.read_text().splitlines()))[-1]["memory"]))
    updates = done.cell.config.training.updates
    log.write_text(f"update,loss\n{updates - 1},9\n{updates},1\n{updates},3\n")
    assert cells.outcome(done.cell, tmp_path).loss == 2


def test_another_trial_of_a_trained_policy_trains_nothing(cell, tmp_path, monkeypatch):
    before = finish(cell(), tmp_path).spent.seconds
    monkeypatch.setattr(cells, "train", never)
    found = finish(cell(tried_on=("tmaze-4", "tmaze-6")), tmp_path)
    assert [one.task for one in found.evaluations] == ["tmaze-4", "tmaze-6"]
    assert found.spent.seconds > before


def test_other_settings_are_another_cell(cell, tmp_path):
    one = cell()
    others = [cell(seed=1), one.model_copy(update={"settings": (*one.settings, "model.width=16")})]
    assert len({other.folder(tmp_path) for other in (one, *others)}) == 3
    assert one.model_copy(update={"name": "called otherwise"}).folder(tmp_path) == one.folder(tmp_path)


def test_a_cell_that_was_cut_short_goes_on_and_remembers_what_it_has_cost(cell, tmp_path, monkeypatch):
    train = cells.train

    def interrupted(*arguments: object, **settings: object) -> None:
        train(*arguments, **settings)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finish(cell(), tmp_path)
    assert not cell().finished(tmp_path)
    spent = json.loads((cell().folder(tmp_path) / "spent.json").read_text())["seconds"]
    assert spent > 0
    monkeypatch.setattr(cells, "train", never)  # its last checkpoint was its last update
    assert finish(cell(), tmp_path).spent.seconds > spent


def test_who_wants_a_cell_that_another_works_on_waits(cell, tmp_path):
    finish(cell(seed=1), tmp_path)
    began = time.monotonic()
    finish(cell(seed=2), tmp_path)
    long_enough_s = 3 * (time.monotonic() - began)
    folder: Path = cell().folder(tmp_path)
    folder.mkdir(parents=True)
    waiting = threading.Thread(target=finish, args=(cell(), tmp_path))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        waiting.join(long_enough_s)
        assert waiting.is_alive()
        assert not (folder / "config.json").exists()
    waiting.join(PATIENCE_S)
    assert cell().finished(tmp_path)


def test_weights_whose_state_has_one_size_serve_at_another_length(cell, tmp_path):
    found = finish(cell("dm", tried_on=("tmaze-9",), alone=True), tmp_path)
    assert [curve.name for curve in found.evaluations[0].curves] == ["dm"]


def test_weights_whose_window_is_the_episode_do_not(cell, tmp_path):
    with pytest.raises(ConfigError, match="a dt trained on tmaze-4 is another model on tmaze-9"):
        finish(cell("dt", tried_on=("tmaze-9",)), tmp_path)


def test_a_trial_through_exported_graphs_finds_what_pytorch_finds(cell, tmp_path):
    exported = finish(cell(tried_on=("tmaze-6",), exported=True, alone=True), tmp_path).evaluations[0]
    stepped = finish(cell(tried_on=("tmaze-6",), alone=True), tmp_path).evaluations[0]
    assert (exported.backend, stepped.backend) == ("ort-cpu", "torch")
    assert exported.curves == stepped.curves


def test_a_run_is_what_its_settings_say(cell, tmp_path):
    finish(cell(seed=5), tmp_path)
    header = Checkpoint.load(cell(seed=5).folder(tmp_path)).header
    assert (header.config.training.seed, header.config.model.width, header.step) == (5, 8, 2)


def test_a_setting_that_is_new_makes_no_cell_another_and_another_default_is_told(cell, tmp_path):
    made = cell()
    finish(made, tmp_path)
    file = made.folder(tmp_path) / "config.json"
    used = json.loads(file.read_text())
    del used["data"]["learn"]  # as of before that setting was there
    file.write_text(json.dumps(used))
    assert finish(made, tmp_path).evaluations
    used["data"]["workers"] = 3
    file.write_text(json.dumps(used))
    with pytest.raises(ConfigError, match=r"made with other defaults: .*workers.*Delete it to make it again"):
        finish(made, tmp_path)


def test_a_trial_can_be_on_what_the_run_kept_from_its_data(cell, tmp_path):
    made = cell(task="tmaze-16", tried_on=("tmaze-16",), validation=True, alone=True)
    made = made.model_copy(update={"settings": (*made.settings, "data.hold_out=1")})
    (found,) = finish(made, tmp_path).evaluations
    assert found.hidden == list(validation_ids(tasks.find("tmaze-16").train_ids, 1))
