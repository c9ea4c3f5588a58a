"""Lessons from own steps: what is learned from, what is kept, and what a resumed run needs."""

import numpy as np
import pytest
import torch

from dmh_edge import presets, tasks
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.data.selection import validation_ids
from dmh_edge.errors import ArtifactError, ConfigError
from dmh_edge.learner import Learner
from dmh_edge.lessons.own_steps import ROUNDS_NAME, OwnSteps
from dmh_edge.names import MODELS
from dmh_edge.train import train
from dmh_edge.training_log import EVENTS_NAME

SMALL = (
    "model.width=8",
    "data.batch=2",
    "data.episodes_per_context=2",
    "training.updates=12",
    "training.log_every=2",
    "training.checkpoint_every=2",
    "training.device=cpu",
    "on_policy.teacher=expert",
    "on_policy.contexts=4",
    "on_policy.keep=8",
    "on_policy.reuse=1",
    "on_policy.short_episodes=0",
)


def small(*settings, task="darkroom", model="dm-h"):
    return presets.load(task, model, settings=[*SMALL, *settings])


def opened(config, folder):
    lessons = OwnSteps(config, config.on_policy, tasks.find(config.task), folder)
    return lessons, Learner(config, lessons.first, torch.device("cpu"), lessons.progress)


def play_until(lessons, learner, update):
    """Play the rounds of the updates up to one, and return its stage."""
    stage = lessons.stage(learner)
    while stage.end <= update:
        learner.step = stage.end
        stage = lessons.stage(learner)
    return stage


@pytest.mark.parametrize("model", MODELS)
def test_every_system_can_learn_from_its_own_steps(model, tmp_path):
    summary = train(small("training.updates=6", model=model), None, tmp_path)
    assert summary.updates == 6
    assert len(summary.returns) == 2
    assert Checkpoint.load(tmp_path).header.rounds.keys() == {1, 2}


def test_what_a_run_keeps_is_what_its_checkpoint_names(tmp_path):
    train(small(), None, tmp_path)
    files = {path.name for path in (tmp_path / ROUNDS_NAME).iterdir()}
    assert (
        files
        == {f"{number:05d}.npz" for number in Checkpoint.load(tmp_path).header.rounds}
        == {
            "00004.npz",
            "00005.npz",
        }
    )


def test_a_round_is_played_with_the_weights_of_that_moment(tmp_path):
    lessons, learner = opened(small("on_policy.warm_up=0", "on_policy.lead=0"), tmp_path)
    before = play_until(lessons, learner, 2)
    with torch.no_grad():
        learner.model.actor.head.bias[1] += 100  # now it always goes right
    after = play_until(lessons, learner, 4)
    assert set(lessons._rounds[1].episodes.action.tolist()) > {1}
    assert set(lessons._rounds[2].episodes.action.tolist()) == {1}
    assert len(before.returns) == len(after.returns) == 2
    assert learner.model.training


def test_hidden_tasks_that_are_kept_from_training_are_never_played(tmp_path):
    config = small("data.hold_out=60", "on_policy.contexts=64", "on_policy.reuse=0.0625")
    lessons, learner = opened(config, tmp_path)
    play_until(lessons, learner, 11)
    kept = set(validation_ids(tasks.find("darkroom").train_ids, 60))
    assert lessons.held_out == tuple(sorted(kept))
    played = {int(hidden) for one in lessons._rounds.values() for hidden in one.episodes.hidden}
    assert played
    assert not played & (kept | set(tasks.find("darkroom").test_ids))


def test_a_round_is_the_same_in_every_process(tmp_path):
    one, learner = opened(small(), tmp_path / "one")
    torch.manual_seed(5)
    stage_one = play_until(one, learner, 5)
    other, learner = opened(small(), tmp_path / "other")
    torch.manual_seed(6)
    before = torch.get_rng_state()
    stage_other = play_until(other, learner, 5)
    assert torch.equal(torch.get_rng_state(), before)  # playing uses none of the training's random numbers
    assert one.kept == other.kept
    np.testing.assert_array_equal(stage_one.draw(3).observation, stage_other.draw(3).observation)


def test_a_changed_round_is_not_resumed(tmp_path):
    train(small("training.updates=4"), None, tmp_path)
    path = tmp_path / ROUNDS_NAME / "00001.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"00001\.npz was altered: its digest differs"):
        train(small("training.updates=4"), None, tmp_path, resume=True)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"00001\.npz"):
        train(small("training.updates=4"), None, tmp_path, resume=True)


def test_contexts_are_learned_from_as_they_were_played_and_ask_for_the_return_of_a_deployed_policy(tmp_path):
    lessons, learner = opened(small("model.chunk=10", "data.episodes_per_context=3"), tmp_path)
    context = lessons.stage(learner).draw(0)
    assert context.observation.shape[:3] == (2, 6, 10)
    assert context.episode_start.tolist() == [[True, False] * 3] * 2
    assert set(context.target_return.ravel()) == {learner.spec.target_return}
    by_context = lessons.first.reward.reshape(4, -1)
    assert all(any((row == played).all() for played in by_context) for row in context.reward.reshape(2, -1))


def test_data_and_own_steps_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="--data and on_policy exclude each other"):
        train(small(), tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["data.label=behaviour"], "would imitate the policy's own actions"),
        (["data.top_fraction=0.5"], "learns from all of its own steps"),
        (["on_policy.short_episodes=3"], "short_episodes = 3 is more than data.episodes_per_context = 2"),
        (["on_policy.teacher=nobody"], "on_policy.teacher"),
        (["data.hold_out=65"], "expected fewer than the 65 tasks"),
        (["data.balance_actions=true"], "discrete"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says, tmp_path):
    task = "dark-reacher" if "balance" in settings[0] else "darkroom"
    with pytest.raises(ConfigError, match=says):
        train(small(*settings, task=task), None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_says_what_it_will_take_and_how_the_return_grows(tmp_path, capsys):
    train(small("data.batch=4"), None, tmp_path)
    told = capsys.readouterr().err
    assert "an update reads 4 contexts of up to 40 steps and takes " in told
    assert "so the updates will take about " in told
    last = told.strip().splitlines()[-1]
    assert "playing and waiting for data" in last
    assert ", return " in last


def test_tensorboard_shows_the_return_of_each_episode(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    summary = train(small(), None, tmp_path)
    events = EventAccumulator(str(tmp_path / EVENTS_NAME)).Reload()
    shown = [events.Scalars(f"return/{episode:03d}") for episode in (1, 2)]
    assert [point.step for point in shown[0]] == [3, 5, 7, 9, 11]  # the first round is the teacher's
    assert tuple(points[-1].value for points in shown) == pytest.approx(summary.returns)
