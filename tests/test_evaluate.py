from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import TransformReward

from dmh_edge.contract import PolicyContract
from dmh_edge.evaluate import Arena, Curve, Evaluation, edge_of, evaluate, roll_out
from dmh_edge.export.pipeline import draft_contract
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.intervals import Interval
from dmh_edge.schema import parse
from dmh_edge.tasks import darkroom, find

HORIZON = darkroom.SPEC.horizon
make = runpy.run_path(str(Path(__file__).parent / "policies" / "make.py"))


class Ragged(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Environments whose episodes end at different steps; reward is the step's number, observation the episode's."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.num_envs = len(lengths)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.single_observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(3)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
        self._lengths = np.array(lengths)
        self.seeds: list[int | None] = []

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        if options is None:
            self._steps, self._episode = np.zeros(self.num_envs, int), np.zeros(self.num_envs)
            self.seeds.append(seed)
        else:
            mask = options["reset_mask"]
            assert (self._steps[mask] == self._lengths[mask]).all(), "a running episode was cut short"
            self._steps[mask] = 0
            self._episode[mask] += 1
        return self._episode[:, None].astype(np.float32), {}

    def step(self, actions):  # type: ignore[no-untyped-def]
        assert (self._steps < self._lengths).all(), "an episode that had ended was stepped"
        self._steps += 1
        over = self._steps == self._lengths
        terminated = over & (np.arange(self.num_envs) % 2 == 0)  # some end for good, some for lack of time
        return self._episode[:, None].astype(np.float32), self._steps.astype(float), terminated, over & ~terminated, {}


def test_the_return_of_each_episode_counts_however_ragged_they_end():
    returns = roll_out(Ragged((2, 3, 7)), lambda *_: np.zeros(3, int), episodes=4, seed=0)
    assert returns.tolist() == [[3.0] * 4, [6.0] * 4, [28.0] * 4]


def test_the_agent_is_told_starts_and_rewards_where_they_belong():
    told = []

    def choose(observation, reward, start, phase):  # type: ignore[no-untyped-def]
        told.append((observation[:, 0].tolist(), reward.tolist(), start.tolist()))
        return np.zeros(2, int)

    environments = Ragged((2, 3))
    roll_out(environments, choose, episodes=2, seed=5)
    assert environments.seeds == [5]
    assert told == [
        ([0, 0], [0, 0], [True, True]),
        ([0, 0], [1, 1], [False, False]),
        ([1, 0], [2, 2], [True, False]),  # the last reward of the first row's first episode arrives with its next start
        ([1, 0 + 1], [1, 3], [False, True]),
        ([2, 1], [2, 1], [True, False]),
        ([2, 1], [1, 2], [False, False]),
    ]


def test_a_curve_compares_the_last_three_episodes_with_the_first_three():
    returns = np.arange(8.0) ** 2 + np.array([0.0, 1.0])[:, None] + np.zeros((3, 1, 1))  # [3 seeds, 2 tasks, 8]
    curve = Curve.of("it", returns)
    assert [point.mean for point in curve.per_episode] == pytest.approx(list(np.arange(8.0) ** 2 + 0.5))
    assert curve.first.mean == pytest.approx((0 + 1 + 4) / 3 + 0.5)
    assert curve.last.mean == pytest.approx((25 + 36 + 49) / 3 + 0.5)
    assert curve.improvement.mean == pytest.approx((25 + 36 + 49 - 0 - 1 - 4) / 3)
    assert curve.improvement.low == pytest.approx(curve.improvement.mean)  # tasks differ in level, not in improvement
    assert curve.first.low < curve.first.mean
    assert np.array(curve.returns).shape == (3, 2, 8)


def test_in_a_short_curve_the_first_and_the_last_episodes_do_not_overlap():
    assert [edge_of(episodes) for episodes in (1, 2, 3, 4, 5, 6, 20)] == [1, 1, 1, 2, 2, 3, 3]
    curve = Curve.of("it", np.array([[[1.0, 5.0]]]))
    assert (curve.first.mean, curve.last.mean, curve.improvement.mean) == (1, 5, 4)
    assert Curve.of("it", np.array([[[7.0]]])).improvement == Interval(mean=0, low=0, high=0)


class Watched(TorchSession):
    """A session that writes down what it is asked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.calls: list[tuple[str, Any]] = []
        self.closed = False

    def step(self, world):  # type: ignore[no-untyped-def]
        self.calls.append(("step", {name: world[name].copy() for name in ("reward", "episode_start", "noise")}))
        return super().step(world)

    def forget(self, rows=None) -> None:  # type: ignore[no-untyped-def]
        self.calls.append(("forget", None if rows is None else rows.tolist()))
        super().forget(rows)

    def close(self) -> None:
        self.closed = True
        super().close()


@pytest.fixture(scope="module")
def checkpoint():  # type: ignore[no-untyped-def]
    return make["tiny_checkpoint"](darkroom.SPEC)


@pytest.fixture
def contract(checkpoint) -> PolicyContract:  # type: ignore[no-untyped-def]
    return draft_contract(checkpoint, Path("run"), "tiny")


def measured(  # type: ignore[no-untyped-def]
    checkpoint, contract, hidden=(0, 40, 79), episodes=4, seeds=(0, 1), task=darkroom.TASK, **settings
):
    sessions = []

    def open_session(batch: int) -> Watched:
        sessions.append(Watched(checkpoint.build(), contract, batch))
        return sessions[-1]

    found = evaluate(open_session, Arena.of(task, hidden), episodes, seeds, **settings)
    (session,) = sessions
    return found, session


@pytest.fixture(scope="module")
def evaluation(checkpoint):  # type: ignore[no-untyped-def]
    return measured(checkpoint, draft_contract(checkpoint, Path("run"), "tiny"))


def test_four_agents_run_on_the_same_tasks(evaluation):
    found, session = evaluation
    assert [curve.name for curve in found.curves] == ["dm-h", "memory zeroed at each episode", "expert", "random"]
    assert all(np.array(curve.returns).shape == (2, 3, 4) for curve in found.curves)
    assert (found.task, found.policy, found.backend) == ("darkroom", "tiny", "torch")
    assert (found.hidden, found.seeds) == ([0, 40, 79], [0, 1])
    assert session.closed


def test_the_expert_reaches_what_the_shortest_path_allows_and_random_does_not(evaluation):
    expert, random = evaluation[0].curves[2:]
    distance = np.abs(np.stack(np.divmod([0, 40, 79], 9)) - 4).sum(0)
    best = HORIZON - np.maximum(distance, 1) + 1  # from the step that arrives on; one on the goal stays there
    assert np.array(expert.returns) == pytest.approx(np.broadcast_to(best[:, None], (2, 3, 4)))
    assert random.last.high < expert.last.low
    assert len({str(episode) for by_seed in random.returns for episode in by_seed}) > 1


def test_the_expert_of_a_task_in_stages_is_told_which_of_them_are_done(checkpoint, contract):
    task = find("key-to-door")
    found, _ = measured(checkpoint, contract, hidden=task.test_ids[:5], episodes=2, task=task)
    assert np.array(found.curves[2].returns).tolist() == np.full((2, 5, 2), 2.0).tolist()


def generous(hidden):  # type: ignore[no-untyped-def]
    """Darkrooms where every step pays, so that every episode starts with a reward from before."""
    return TransformReward(darkroom.TASK.vector(hidden), np.ones_like)


def test_the_policy_remembers_across_episodes_and_its_rival_forgets_exactly_when_one_starts(checkpoint, contract):
    task = dataclasses.replace(darkroom.TASK, vector=generous)
    _, session = measured(checkpoint, contract, task=task)
    starts = list(range(0, 4 * HORIZON, HORIZON))
    runs: list[list[tuple[str, Any]]] = []
    for call in session.calls:
        if call == ("forget", None):
            runs.append([])
        runs[-1].append(call)
    assert len(runs) == 4  # two seeds as it is, two forgetful
    for number, (_, *run) in enumerate(runs):
        steps = [arguments for name, arguments in run if name == "step"]
        assert [tick for tick, world in enumerate(steps) if world["episode_start"].any()] == starts
        forgotten = [index for index, (name, _) in enumerate(run) if name == "forget"]
        if number < 2:
            assert forgotten == []
            assert all(steps[tick]["reward"].all() for tick in starts[1:])
        else:
            assert forgotten == [tick + count for count, tick in enumerate(starts)]
            assert not any(steps[tick]["reward"].any() for tick in starts)  # nor is it told the reward from before


def test_seeds_decide_the_noise_and_deterministic_means_none(checkpoint, contract):
    short = {"episodes": 1, "hidden": (0,)}
    one, session = measured(checkpoint, contract, **short)
    again, _ = measured(checkpoint, contract, **short)
    assert one == again
    noise = [arguments["noise"] for name, arguments in session.calls if name == "step"]
    assert len({array.tobytes() for array in noise}) == 2 * HORIZON  # of two seeds, alike for both rivals
    _, quiet = measured(checkpoint, contract, deterministic=True, **short)
    assert not any(arguments["noise"].any() for name, arguments in quiet.calls if name == "step")


def test_progress_is_told_until_the_end(checkpoint, contract):
    told: list[tuple[str, int, int]] = []
    measured(checkpoint, contract, episodes=1, hidden=(0,), progress=lambda *event: told.append(event))
    assert [event[1:] for event in told] == [(0, 2), (1, 2), (2, 2)] * 4
    assert [event[0] for event in told[::3]] == ["dm-h", "memory zeroed at each episode", "expert", "random"]


def test_a_session_that_fails_is_closed_all_the_same(checkpoint, contract, monkeypatch):
    sessions = []

    def open_session(batch: int) -> Watched:
        sessions.append(Watched(checkpoint.build(), contract, batch))
        return sessions[-1]

    monkeypatch.setattr(Watched, "step", lambda self, world: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(open_session, Arena.of(darkroom.TASK, (0,)), 1, (0,))
    assert sessions[0].closed


def test_what_was_found_comes_back_from_json(evaluation):
    found = evaluation[0]
    assert parse(Evaluation, found.model_dump_json(), "evaluation.json") == found
