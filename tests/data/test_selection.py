import numpy as np
import pytest

from dmh_edge.data.episodes import Episodes
from dmh_edge.data.selection import learnable, validation_ids
from dmh_edge.errors import ConfigError, DataError
from dmh_edge.tasks import darkroom


def episodes(hidden, returns):
    """Episodes of 1, 2, 3, 1, 2, 3, ... steps, all reward in the last one; observations and actions count."""
    length = np.resize([1, 2, 3], len(hidden)).astype(np.int64)
    reward = np.zeros(length.sum(), np.float32)
    reward[np.cumsum(length) - 1] = returns
    steps = np.arange(length.sum())
    return Episodes(
        spec=darkroom.SPEC,
        observation=np.repeat(np.arange(length.sum() + len(hidden), dtype=np.float32)[:, None], 2, 1),
        action=steps,
        expert_action=None,
        reward=reward,
        terminated=np.zeros(len(hidden), bool),
        hidden=np.array(hidden, np.int64),
        history=np.zeros(len(hidden), np.int64),
        number=np.arange(len(hidden)),
        length=length,
    )


def test_selected_episodes_keep_all_that_belongs_to_them():
    whole = episodes([7, 8, 9, 7], [1, 2, 3, 4])
    chosen = whole.select(np.array([False, True, False, True]))
    assert chosen.hidden.tolist() == [8, 7]
    assert chosen.length.tolist() == [2, 1]
    assert chosen.returns.tolist() == [2, 4]
    assert chosen.action.tolist() == [1, 2, 6]
    assert chosen.observation[:, 0].tolist() == [2, 3, 4, 9, 10]  # one more per episode
    assert chosen.start.tolist() == [0, 2]


def test_the_best_share_is_taken_of_each_hidden_task():
    data = episodes([1, 2, 1, 2, 1, 2, 1, 1], [5, 0, 6, 0.5, 7, 1, 8, 9])
    assert sorted(learnable(data, (), 0.4).returns.tolist()) == [1, 8, 9]
    assert sorted(learnable(data, (), 0.01).returns.tolist()) == [1, 9]  # never less than one
    assert learnable(data, (), 1.0) is data


def test_tasks_that_are_held_out_are_not_learned_from():
    data = episodes([1, 2, 1, 3], [1, 2, 3, 4])
    assert learnable(data, (1,), 1.0).hidden.tolist() == [2, 3]
    with pytest.raises(DataError, match="holds out all 3 hidden tasks"):
        learnable(data, (1, 2, 3), 1.0)
    with pytest.raises(DataError, match="no episode of hidden task 4, which is to be held out"):
        learnable(data, (1, 4), 1.0)


def test_validation_tasks_are_some_of_the_training_tasks_and_always_the_same():
    chosen = validation_ids(darkroom.TRAIN_IDS, 10)
    assert len(set(chosen)) == 10
    assert set(chosen) < set(darkroom.TRAIN_IDS)
    assert chosen == validation_ids(darkroom.TRAIN_IDS, 10)
    assert list(chosen) != list(darkroom.TRAIN_IDS[:10])
    with pytest.raises(ConfigError, match=r"data.hold_out: got 65, expected fewer than the 65"):
        validation_ids(darkroom.TRAIN_IDS, 65)
