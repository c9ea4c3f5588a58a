import json

import pytest

from dmh_edge import config, names, presets
from dmh_edge.errors import ConfigError


def test_a_preset_is_changed_by_a_file_and_then_by_single_settings(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"model": {"width": 32, "heads": 2}, "training": {"seed": 7}}))
    run = presets.load("darkroom", config_file=file, settings=["model.width=16", "data.label=behaviour"])
    assert (run.model.width, run.model.heads, run.training.seed, run.data.label) == (16, 2, 7, "behaviour")
    assert run.model.chunk == presets.PRESETS["darkroom", "dm-h", False].model.chunk


def test_what_was_used_can_be_given_back_as_a_file(tmp_path):
    used = presets.load("darkroom", settings=["model.width=48", "training.learning_rate=3e-4"])
    file = tmp_path / config.CONFIG_NAME
    file.write_text(used.model_dump_json())
    assert presets.load("darkroom", config_file=file) == used


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.widht=64", "did you mean 'width'"),
        ("trainin.seed=1", "did you mean 'training'"),
        ("model.width=wide", "model.width: got 'wide'"),
        ("model.width=0", "model.width: got 0"),
        ("training.learning_rate=NaN", "finite"),
        ("data.label=teacher", "'expert' or 'behaviour'"),
        ("task.name=darkroom", "task: got"),
        ("training.log_every=7", "not a multiple of log_every"),
        ("model.heads=5", "heads = 5 do not divide"),
        ("model.width", "NAME=VALUE"),
        ("model..width=3", "PART.NAME=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_the_reason(setting, says):
    with pytest.raises(ConfigError, match=says):
        presets.load("darkroom", settings=[setting])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"task": "dark-reacher"}', "'dark-reacher', but 'darkroom'"),
        ('{"modle": {}}', "did you mean 'model'"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, text, says):
    file = tmp_path / "mine.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        presets.load("darkroom", config_file=file)


def test_a_task_that_no_preset_is_for_gets_what_may_do_for_any():
    for kind in names.MODELS:
        run = presets.load("my-arm", kind)
        assert (run.task, run.model.kind) == ("my-arm", kind)


def test_an_unknown_model_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"unknown model 'dmh' .did you mean 'dm-h'"):
        presets.load("darkroom", "dmh")


def test_a_file_says_which_model_it_is_for(tmp_path):
    file = tmp_path / "used.json"
    file.write_text(presets.load("darkroom", "dt", settings=["model.window=7"]).model_dump_json())
    assert presets.load("darkroom", config_file=file).model.kind == "dt"
    with pytest.raises(ConfigError, match=r"used.json is for model 'dt', but 'bc' was asked for"):
        presets.load("darkroom", "bc", file)
    with pytest.raises(ConfigError, match="choose the model with --model"):
        presets.load("darkroom", settings=["model.kind=dt"])


def test_any_setting_of_own_steps_chooses_their_preset_and_the_last_word_counts(tmp_path):
    assert presets.load("darkroom").on_policy is None
    chosen = presets.load("darkroom", settings=["on_policy=true"])
    assert chosen == presets.PRESETS["darkroom", "dm-h", True]
    assert chosen.on_policy.teacher == "sweep"
    changed = presets.load("darkroom", settings=["on_policy.contexts=7"])
    assert changed.on_policy == chosen.on_policy.model_copy(update={"contexts": 7})
    assert presets.load("darkroom", settings=["on_policy.contexts=7", "on_policy=false"]).on_policy is None
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"on_policy": {"lead": 0.25}}))
    assert presets.load("darkroom", config_file=file).on_policy.lead == 0.25
    assert presets.load("darkroom", config_file=file, settings=["on_policy=null"]) == presets.load("darkroom")
    file.write_text(chosen.model_dump_json())
    assert presets.load("darkroom", config_file=file) == chosen


def test_a_transformer_sees_no_more_episodes_than_a_short_context_has_where_it_plays_itself():
    assert presets.load("dark-reacher", "ad-transformer").model.window_episodes == 20
    assert presets.load("dark-reacher", "ad-transformer", settings=["on_policy=true"]).model.window_episodes == 6
