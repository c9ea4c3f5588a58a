"""`ceiling`, and `train` and `eval` on a small Darkroom."""

from __future__ import annotations

import json

import pytest

from dmh_edge.ceiling import Ceiling
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.config import CONFIG_NAME
from dmh_edge.evaluate import Evaluation
from dmh_edge.schema import parse


def test_train_goes_on_with_the_settings_that_it_wrote(well, data, run):
    assert Checkpoint.load(run).header.step == 4
    used = json.loads((run / CONFIG_NAME).read_text())
    assert (used["model"]["width"], used["training"]["updates"]) == (8, 4)
    done = well("train", "darkroom", "--data", data, "--out", run, "--config", run / CONFIG_NAME, "--resume")
    assert "nothing to do: all 4 updates were made before" in done.err


@pytest.mark.parametrize(("tasks", "count"), [("held-out", 16), ("validation", 3), ("training", 62)])
def test_eval_of_a_run_shows_and_keeps_what_it_found(well, run, tmp_path, tasks, count):
    settings = ("--episodes", 2, "--seeds", 1, "--tasks", tasks, "--out", tmp_path)
    done = well("eval", run, *settings)
    for agent in ("dm-h", "memory zeroed at each episode", "expert", "random", "darkroom, torch"):
        assert agent in done.out
    found = parse(Evaluation, (tmp_path / "evaluation.json").read_text(), "evaluation.json")
    assert len(found.hidden) == count
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_eval_asks_for_validation_tasks_where_there_are_none(well, refused, data, small, tmp_path):
    run = tmp_path / "run"
    well("train", "darkroom", "--data", data, "--out", run, "--config", small, "--set", "training.updates=1",
         "--set", "data.hold_out=0")  # fmt: skip
    assert "train with --set data.hold_out=10" in refused("eval", run, "--tasks", "validation")


def test_eval_of_an_engine_finds_what_eval_of_its_run_finds(well, run, copy, tmp_path):
    well("eval", copy / "model.onnx", "--episodes", 1, "--seeds", 1, "--deterministic")
    well("eval", run, "--episodes", 1, "--seeds", 1, "--deterministic", "--out", tmp_path)
    engine, reference = (
        parse(Evaluation, (folder / "evaluation.json").read_text(), "evaluation.json") for folder in (copy, tmp_path)
    )
    assert (engine.backend, reference.backend) == ("ort-cpu", "torch")
    assert engine.curves == reference.curves


def test_ceiling_shows_and_keeps_what_imitation_can_reach(well, tmp_path):
    done = well("ceiling", "darkroom", "--episodes", 4, "--seeds", 2, "--out", tmp_path)
    for shown in ("darkroom: return on 16 hidden tasks, 2 seeds", "imitates expert, without memory", "imitates sweep",
                  "Memory across episodes is worth at most", "The teacher to train with is"):  # fmt: skip
        assert shown in done.out
    assert done.err == f"wrote {tmp_path / 'ceiling.json'} and {tmp_path / 'ceiling.png'}\n"
    found = parse(Ceiling, (tmp_path / "ceiling.json").read_text(), "ceiling.json")
    assert (found.task, found.seeds, len(found.curves[0].per_episode)) == ("darkroom", [0, 1], 4)
    assert (tmp_path / "ceiling.png").read_bytes().startswith(b"\x89PNG")


def test_ceiling_plays_training_tasks_and_writes_beside_other_runs(well, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    well("ceiling", "darkroom-hard", "--episodes", 1, "--seeds", 1, "--tasks", "training")
    written = (tmp_path / "runs" / "ceilings" / "darkroom-hard" / "ceiling.json").read_text()
    assert len(parse(Ceiling, written, "ceiling.json").hidden) == 65


def test_ceiling_of_an_unknown_task_names_the_nearest(refused):
    assert "unknown task 'darkrom' (did you mean 'darkroom'?)" in refused("ceiling", "darkrom")


def test_eval_on_robots_plays_one_for_each_value_and_gives_a_verdict(well, run, tmp_path):
    chosen = ("--robot", "gym:darkroom", "--vary", "hidden=[3,30,60]", "--episodes", 2, "--seeds", 1, "--out", tmp_path)
    done = well("eval", run, *chosen)
    assert "darkroom, torch: return on 3 robots, 1 seeds" in done.out
    assert "Memory is worth " in done.out
    found = parse(Evaluation, (tmp_path / "evaluation.json").read_text(), "evaluation.json")
    assert found.settings == ["hidden=3", "hidden=30", "hidden=60"]
    assert [curve.name for curve in found.curves] == ["dm-h", "memory zeroed at each episode", "random"]
    assert found.verdict[0] in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--robot", "gym:darkroom"), "--robot and --vary need each other"),
        (("--vary", "hidden=0:3"), "--robot and --vary need each other"),
        (("--robot-option", "hidden=3"), "--robot-option is for --robot"),
        (("--robot", "gym:darkroom", "--vary", "hidden=3"), "e.g. hidden=0:24, or a JSON list"),
        (("--robot", "gym:darkroom", "--vary", "goal=0:3"), "goal"),
        (("--robot", "fake", "--vary", "command_timeout_s=[0.5]"), "use `dmh-edge run --episodes 20` for it"),
    ],
)
def test_eval_on_robots_that_cannot_be_says_what_to_do(refused, run, options, says):
    assert says in refused("eval", run, *options)


def test_train_on_own_steps_ends_with_how_to_find_out_what_was_learned(well, tmp_path):
    settings = ("training.updates=2", "training.log_every=1", "training.checkpoint_every=1", "model.width=8",
                "on_policy.contexts=2", "on_policy.reuse=1", "on_policy.short_episodes=0", "data.batch=2",
                "data.episodes_per_context=2")  # fmt: skip
    done = well("train", "darkroom", "--out", tmp_path / "run", *(word for one in settings for word in ("--set", one)))
    assert done.err.strip().endswith(f"dmh-edge eval {tmp_path / 'run'}")
