"""Many environments at once are the single environments: they start, move, observe and pay alike, whatever the rows."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from dmh_edge.errors import ConfigError
from dmh_edge.tasks import find
from dmh_edge.tasks.arm_env import DarkPayloadEnv
from dmh_edge.tasks.physics_vector import PhysicsVectorEnv, _threads
from dmh_edge.tasks.slide_env import DarkSlideEnv

every_task = pytest.mark.parametrize("name", ["dark-reacher", "dark-payload", "dark-camera", "dark-slide"])
HIDDEN = [3, 80, 3, 10**6]


def single(name: str) -> SyncVectorEnv:
    """The environments that gymnasium makes, one after the other."""

    def maker(hidden: int) -> Callable[[], gymnasium.Env]:
        return lambda: gymnasium.make(name, hidden=hidden, disable_env_checker=True)

    return SyncVectorEnv([maker(hidden) for hidden in HIDDEN], autoreset_mode=AutoresetMode.DISABLED)


@every_task
def test_every_row_is_the_environment_that_gymnasium_makes(name: str) -> None:
    ours, theirs, rng = find(name).vector(HIDDEN), single(name), np.random.default_rng(0)
    assert (ours.single_observation_space, ours.action_space) == (theirs.single_observation_space, theirs.action_space)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    mine, other = ours.reset(seed=5), theirs.reset(seed=5)
    assert mine[0].dtype == other[0].dtype == np.float32
    assert mine[1]["hidden"].tolist() == other[1]["hidden"].tolist() == HIDDEN
    assert mine[0] == pytest.approx(other[0], rel=1e-6, abs=1e-6)
    action = np.zeros(ours.action_space.shape, np.float32)
    for step in range(2 * find(name).spec.horizon):
        if step % 7 == 0:
            action = rng.uniform(-1.5, 1.5, action.shape).astype(np.float32)  # also beyond what motors do
        mine, other = ours.step(action), theirs.step(action)
        assert mine[0] == pytest.approx(other[0], rel=1e-6, abs=1e-6)
        assert mine[1] == pytest.approx(other[1], rel=1e-6, abs=1e-6)
        assert [part.tolist() for part in mine[2:4]] == [part.tolist() for part in other[2:4]]
        mask = mine[3] | (rng.random(4) < 0.02)
        if mask.any():
            mine, other = (envs.reset(options={"reset_mask": mask.copy()}) for envs in (ours, theirs))
            assert mine[0] == pytest.approx(other[0], rel=1e-6, abs=1e-6)


@every_task
def test_no_row_depends_on_the_others_or_on_the_number_of_threads(name: str) -> None:
    make = type(find(name).vector([0])._one)
    action = np.random.default_rng(0).uniform(-1, 1, (60, 4, *find(name).vector([0]).single_action_space.shape))

    def played(rows: list[int], threads: int) -> np.ndarray:
        envs = PhysicsVectorEnv(make, [HIDDEN[row] for row in rows], threads)
        seen = [envs.reset(seed=rows)[0]]
        seen += [envs.step(now[rows].astype(np.float32))[0] for now in action]
        envs.close()
        return np.stack(seen)

    together = played([0, 1, 2, 3], 1)
    assert np.array_equal(together, played([0, 1, 2, 3], 3))
    assert np.array_equal(together[:, ::-1], played([3, 2, 1, 0], 2))
    assert np.array_equal(together[:, 1:2], played([1], 1))


def test_a_reset_without_a_seed_goes_on_with_each_rows_own_generator() -> None:
    envs = PhysicsVectorEnv(DarkSlideEnv, [0, 0])
    first = envs.reset(seed=[1, 2])[0]
    assert first[0].tolist() != first[1].tolist()
    assert envs.reset(options={"reset_mask": np.array([True, False])})[0][1].tolist() == first[1].tolist()
    assert envs.reset(seed=[1, None])[0][0].tolist() == first[0].tolist()
    assert envs.reset(seed=2)[0][0].tolist() == first[1].tolist()
    other, another = (PhysicsVectorEnv(DarkSlideEnv, [0]).reset()[0] for _ in range(2))
    assert other.tolist() != another.tolist()


def test_an_episode_that_is_over_can_be_stepped_further() -> None:
    envs = PhysicsVectorEnv(DarkPayloadEnv, [0])
    envs.reset(seed=0)
    over = [bool(envs.step(np.zeros((1, 2), np.float32))[3][0]) for _ in range(102)]
    assert over == [False] * 99 + [True] * 3


@pytest.mark.parametrize(("asked", "rows", "threads"), [("1", 64, 1), ("4", 64, 4), ("4", 16, 2), ("4", 1, 1)])
def test_there_are_as_many_threads_as_asked_for_but_not_for_few_rows(
    asked: str, rows: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert _threads(rows) == threads


def test_without_a_wish_there_are_at_most_as_many_threads_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert _threads(1000) == 3


def test_what_does_not_fit_the_rows_is_refused_with_what_was_expected() -> None:
    with pytest.raises(ConfigError, match="got no hidden task"):
        PhysicsVectorEnv(DarkPayloadEnv, [])
    with pytest.raises(ConfigError, match=r"dark-payload: got hidden = -1, expected 0 to"):
        PhysicsVectorEnv(DarkPayloadEnv, [0, -1])
    with pytest.raises(ConfigError, match="got threads = 0, expected 1 or more"):
        PhysicsVectorEnv(DarkPayloadEnv, [0], threads=0)
    envs = PhysicsVectorEnv(DarkPayloadEnv, [0, 1])
    with pytest.raises(ConfigError, match="got 3 seeds for 2 environments"):
        envs.reset(seed=[1, 2, 3])
    for mask in (np.array([True]), np.array([1, 0])):
        with pytest.raises(ConfigError, match=r"expected shape \(2,\) and type bool"):
            envs.reset(options={"reset_mask": mask})
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(gymnasium.error.ResetNeeded, match="for all rows before"):
        envs.step(np.zeros((2, 2), np.float32))
    envs.reset()
    with pytest.raises(ConfigError, match=r"got actions of shape \(2, 1\), expected \(2, 2\)"):
        envs.step(np.zeros((2, 1), np.float32))
    envs.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError, match="after close"):
        envs.step(np.zeros((2, 2), np.float32))
