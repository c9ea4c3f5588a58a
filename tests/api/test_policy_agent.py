"""Moving robots by a policy from a program: what comes out, what is remembered, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmh_edge
from dmh_edge.errors import ArtifactError, BackendError, ContractError
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.engine import session_for
from dmh_edge.runtime.sessions.state_file import save_state

GOOD: dict[str, Any] = {
    "observation": [[0.0, 1.0], [2.0, 0.0], [4.0, -1.0]],
    "reward": [0.0, 1.0, 0.5],
    "episode_start": [True, True, True],
}


@pytest.fixture
def agent(discrete):
    with discrete.agent(robots=3) as agent:
        yield agent


def state(agent: dmh_edge.PolicyAgent) -> dict[str, Any]:
    return agent._agent.session.state()


def assert_same(found: dict[str, Any], expected: dict[str, Any], rows: list[int]) -> None:
    """The memories of some robots are the same; memory tensors are stacked by layer before they are by robot."""
    for name, array in expected.items():
        axis = 1 if name.startswith(("memory_", "actor_")) else 0
        np.testing.assert_array_equal(found[name].take(rows, axis), array.take(rows, axis), err_msg=name)


def test_an_agent_acts_as_the_policy_s_session_does(policy, shown):
    plain = Agent(session_for(policy.checked, policy.backend, 3), seed=7)
    with policy.agent(robots=3, seed=7) as agent:
        for tick, (observation, reward, start) in enumerate(shown):
            expected = plain.propose(observation, reward * (tick > 0), start)["action"].copy()
            action = agent.act(observation, reward, start)
            plain.commit(expected)
            np.testing.assert_array_equal(action, expected)
            assert (action.shape, action.dtype) == (expected.shape, expected.dtype)


def test_what_was_really_applied_is_what_the_policy_remembers(policy, shown):
    plain = Agent(session_for(policy.checked, policy.backend, 3), seed=7)
    applied = None
    with policy.agent(robots=3, seed=7) as agent:
        for tick, (observation, reward, start) in enumerate(shown):
            plain.propose(observation, reward * (tick > 0), start)
            action = agent.act(observation, reward, start, applied)
            applied = np.zeros_like(action)
            plain.commit(applied)
        assert_same(state(agent), plain.session.state(), [0, 1, 2])


def test_arrays_that_were_given_or_returned_are_the_caller_s(policy, shown):
    agent = policy.agent(robots=3, deterministic=True)
    observation, reward = shown[0][0].astype(np.float32), np.array([5, 6, 7], np.float32)
    first, remembered = agent.act(observation, reward, shown[0][2]), state(agent)
    np.testing.assert_array_equal(reward, [5, 6, 7])
    observation[:] = 9
    first[:] = 1
    assert_same(state(agent), remembered, [0, 1, 2])
    assert not (agent._agent.world["previous_action"] == 1).all()
    kept = agent.act(*shown[1])
    copied = kept.copy()
    for tick in shown[2:]:
        agent.act(*tick)
    np.testing.assert_array_equal(kept, copied)


def test_noise_follows_the_seed_and_can_be_left_out(policy, shown):
    def actions(**options: Any) -> np.ndarray[Any, Any]:
        with policy.agent(robots=3, **options) as agent:
            return np.stack([agent.act(*tick) for tick in shown])

    np.testing.assert_array_equal(actions(seed=1), actions(seed=1))
    np.testing.assert_array_equal(actions(seed=1, deterministic=True), actions(seed=2, deterministic=True))
    assert (actions(seed=1) != actions(seed=2)).any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"observation": [0.0, 1.0]}, r"observation: got float64 \[2\], expected real numbers \[3, 2\], one row for"),
        ({"observation": [[0.0, 1.0]]}, r"observation: got float64 \[1, 2\], expected real numbers \[3, 2\]"),
        ({"observation": [["a", "b"]] * 3}, r"observation: got <U1 \[3, 2\], expected real numbers"),
        ({"observation": [[0, 1], [2, np.nan], [4, 5]]}, "observation: got nan for robot 1, speed, expected a finite"),
        (
            {"observation": [[0, 1], [2, 3], [1e300, 5]]},
            r"observation: got 1e\+300 for robot 2, x, expected",
        ),
        ({"reward": 0.0}, r"reward: got float64 \[\], expected real numbers \[3\]"),
        ({"reward": [0.0, np.inf, 0.0]}, "reward: got inf for robot 1, expected a finite float32"),
        ({"episode_start": [1, 1, 1]}, r"episode_start: got int64 \[3\], expected bool \[3\]"),
        ({"episode_start": True}, r"episode_start: got bool \[\], expected bool \[3\]"),
        ({"applied": [0.0, 1.0, 2.0]}, r"applied: got float64 \[3\], expected whole numbers \[3\]"),
        ({"applied": [0, 1, 3]}, r"applied: got \[0, 1, 3\], expected choices from 0 to 2"),
        ({"applied": [0, 1, -1]}, "expected choices from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_remembered_of_it(agent, wrong, said):
    agent.act(**GOOD)
    before = state(agent)
    with pytest.raises(ValueError, match=said):
        agent.act(**GOOD | wrong)
    assert_same(state(agent), before, [0, 1, 2])


def test_an_applied_action_with_a_number_that_is_not_finite_is_refused_by_its_name(policy, shown):
    if policy.contract.task.action.kind == "discrete":
        return
    agent = policy.agent(robots=3)
    agent.act(*shown[0])
    with pytest.raises(ValueError, match="applied: got nan for robot 2, dq1, expected a finite float32"):
        agent.act(*shown[1], applied=[[0, 0], [0, 0], [0, np.nan]])


def test_a_robot_with_a_new_memory_must_start_an_episode(agent, tmp_path):
    going_on = GOOD | {"episode_start": [False, True, False]}
    with pytest.raises(ValueError, match=r"episode_start: got false for robots \[0, 2\]"):
        agent.act(**going_on)
    agent.act(**GOOD)
    agent.act(**going_on)
    agent.forget(rows=[2])
    with pytest.raises(ValueError, match=r"episode_start: got false for robots \[2\]"):
        agent.act(**going_on)
    agent.act(**GOOD)
    agent.save(tmp_path / "memory.state")
    agent.load(tmp_path / "memory.state")
    with pytest.raises(ValueError, match=r"episode_start: got false for robots \[0, 2\]"):
        agent.act(**going_on)


@pytest.mark.parametrize("rows", [[0, 2], np.array([True, False, True])])
def test_some_robots_forget_and_the_others_do_not(policy, shown, rows):
    forgetful, steady, fresh = (policy.agent(robots=3, deterministic=True) for _ in range(3))
    for tick in shown:
        forgetful.act(*tick)
        steady.act(*tick)
    forgetful.forget(rows)
    observation, reward, _ = shown[0]
    start = np.ones(3, np.bool_)
    for agent in (forgetful, steady, fresh):
        agent.act(observation, reward, start)
    assert_same(state(forgetful), state(steady), [1])
    assert_same(state(forgetful), state(fresh), [0, 2])


def test_all_robots_forget(policy, shown):
    agent, fresh = policy.agent(robots=3, deterministic=True), policy.agent(robots=3, deterministic=True)
    for tick in shown:
        agent.act(*tick)
    agent.forget(rows=[])
    assert any(array.any() for array in state(agent).values())
    agent.forget()
    assert_same(state(agent), state(fresh), [0, 1, 2])


@pytest.mark.parametrize("rows", [[3], [0, -4], [True, False], [0.5]])
def test_robots_that_are_not_there_cannot_forget(agent, rows):
    agent.act(**GOOD)
    before = state(agent)
    with pytest.raises(ValueError, match="expected numbers of robots below 3, or a mask of 3 booleans"):
        agent.forget(rows)
    assert_same(state(agent), before, [0, 1, 2])


def test_a_robot_with_an_empty_memory_is_told_nothing_of_the_time_before(policy, shown):
    told, untold = policy.agent(robots=3, deterministic=True), policy.agent(robots=3, deterministic=True)
    observation, _, _ = shown[0]
    action = told.act(observation, [5.0, 6.0, 7.0], np.ones(3, np.bool_))
    told.forget()
    told.act(observation, [5.0, 6.0, 7.0], np.ones(3, np.bool_), applied=np.ones_like(action))
    untold.act(observation, np.zeros(3), np.ones(3, np.bool_))
    assert_same(state(told), state(untold), [0, 1, 2])
    np.testing.assert_array_equal(told._agent.world["previous_action"], untold._agent.world["previous_action"])


def test_what_was_learned_goes_on_in_another_process(policy, shown, tmp_path):
    learned = policy.agent(robots=3, deterministic=True)
    for tick in shown[:-1]:
        action = learned.act(*tick)
    learned.save(tmp_path / "memory.state")
    restarted = policy.agent(robots=3, deterministic=True)
    restarted.load(str(tmp_path / "memory.state"))
    assert_same(state(restarted), state(learned), [0, 1, 2])
    learned.load(tmp_path / "memory.state")
    assert not learned._agent.world["previous_action"].any()
    last = (*shown[-1][:2], np.ones(3, np.bool_), np.zeros_like(action))
    np.testing.assert_array_equal(restarted.act(*last), learned.act(*last))
    assert_same(state(restarted), state(learned), [0, 1, 2])


def test_a_reward_that_a_run_left_behind_is_told_with_the_first_step(discrete, tmp_path):
    whole, late = discrete.agent(deterministic=True), discrete.agent(deterministic=True)
    shown = [[1.0, 0.0]]
    for agent in (whole, late):
        agent.act(shown, [0.0], [True])
    save_state(tmp_path / "run.state", late._agent.session, discrete.sha256, reward_due=2.5)
    late.load(tmp_path / "run.state")
    whole.act(shown, [2.5], [True], applied=[0])
    late.act(shown, [0.0], [True], applied=[0])
    assert_same(state(late), state(whole), [0])
    for _ in range(5):  # until the memory has read it; and it is told only once
        whole.act(shown, [1.0], [False])
        late.act(shown, [1.0], [False])
    assert_same(state(late), state(whole), [0])


def test_a_memory_of_another_policy_or_of_other_robots_is_refused(policy, shown, discrete, tmp_path):
    agent = policy.agent(robots=3)
    agent.act(*shown[0])
    agent.save(tmp_path / "memory.state")
    with pytest.raises(ContractError, match="contains what 3 robots learned, expected 2"):
        policy.agent(robots=2).load(tmp_path / "memory.state")
    if policy != discrete:
        with pytest.raises(ContractError, match="was learned by another policy"):
            discrete.agent(robots=3).load(tmp_path / "memory.state")
    before = state(agent)
    (tmp_path / "memory.state").write_bytes((tmp_path / "memory.state").read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="not a saved state, or is truncated or altered"):
        agent.load(tmp_path / "memory.state")
    assert_same(state(agent), before, [0, 1, 2])


def test_a_proposal_that_is_not_finite_is_never_remembered(agent, monkeypatch):
    agent.act(**GOOD)
    before = state(agent)
    monkeypatch.setattr(agent._agent.session, "proposal_is_finite", lambda: False)
    with pytest.raises(BackendError, match="not finite, and no robot remembers this step"):
        agent.act(**GOOD)
    assert_same(state(agent), before, [0, 1, 2])


def test_a_closed_agent_does_nothing_more(discrete, tmp_path: Path):
    with discrete.agent(robots=3) as agent:
        agent.act(**GOOD)
    agent.close()
    for call in (
        lambda: agent.act(**GOOD),
        agent.forget,
        lambda: agent.save(tmp_path / "memory.state"),
        lambda: agent.load(tmp_path / "memory.state"),
    ):
        with pytest.raises(ValueError, match="this agent is closed"):
            call()
    assert list(tmp_path.iterdir()) == []
