"""What a learner makes of its settings and its data before and at a gradient step."""

import dataclasses

import pytest
import torch

from dmh_edge import presets
from dmh_edge.config import TrainingConfig
from dmh_edge.data.generate import generated
from dmh_edge.errors import DataError
from dmh_edge.learner import Learner, learning_rate
from dmh_edge.lessons.histories import Histories
from dmh_edge.task import Element
from dmh_edge.tasks import darkroom

SMALL = presets.load("darkroom", settings=["model.width=8", "model.heads=2", "data.episodes_per_context=2"])


def test_an_episode_that_is_longer_than_the_task_allows_is_refused():
    data = generated(darkroom.TASK, 1, 2)
    short = dataclasses.replace(data, spec=data.spec.model_copy(update={"horizon": 19}))
    with pytest.raises(DataError, match="an episode of the data has 20 steps, but the horizon of 'darkroom' is 19"):
        Histories(SMALL, short, darkroom.TRAIN_IDS)


def test_continuous_observations_are_normalised_with_the_mean_and_deviation_of_the_data():
    episodes = generated(darkroom.TASK, 1, 3)
    plain = tuple(Element(name=name, low=0, high=8) for name in "xy")
    spec = darkroom.SPEC.model_copy(update={"observation": plain})
    learner = Learner(SMALL, dataclasses.replace(episodes, spec=spec), torch.device("cpu"))
    features = learner.model.encoder(torch.from_numpy(episodes.observation))
    torch.testing.assert_close(features.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(2), atol=1e-5, rtol=0)


def test_the_learning_rate_rises_then_stays_or_falls_to_a_tenth():
    constant = TrainingConfig(updates=100, warm_up=10, learning_rate=1, schedule="constant")
    cosine = constant.model_copy(update={"schedule": "cosine"})
    for schedule in (constant, cosine):
        assert [learning_rate(schedule, update) for update in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1, 1])
    assert learning_rate(constant, 99) == 1
    assert learning_rate(cosine, 55) == pytest.approx(0.55)
    assert learning_rate(cosine, 100) == pytest.approx(0.1)
