from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmh_edge.contract import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec
from dmh_edge.robots.fake import TWO_JOINTS
from dmh_edge.robots.protocol import Reading
from dmh_edge.runtime.faults import TABLE, Fault, Response, mode_of
from dmh_edge.runtime.guard import Guard, SafeStop

MS = 1_000_000
PERIOD = 20 * MS
START = 10**9


def task_of(mode: str, *, slew: float | None = None, max_hold_s: float = 0.1) -> TaskSpec:
    """Two joints moved in some mode; the safe action is 0.1 everywhere, so that it is no zero by chance."""
    if mode == "discrete":
        action: Any = DiscreteAction(names=("a", "b", "c"), safe=2)
    else:
        action = ContinuousAction(
            elements=(
                Element(name="one", low=-1, high=1, slew_per_s=slew),
                Element(name="two", low=-1, high=0.6, slew_per_s=None),
            ),
            mode="position" if mode == "delta" else mode,
            reference="delta" if mode == "delta" else "absolute",
            safe=(0.1, 0.1),
        )
    reward = Reward(meaning="", low=-1, high=1)
    return TWO_JOINTS.model_copy(update={"action": action, "max_hold_s": max_hold_s, "reward": reward})


def guard_of(mode: str, *, lockstep: bool = False, **more: Any) -> Guard:
    guard = Guard(task_of(mode, **more), PERIOD, lockstep)
    guard.start_episode(START)
    return guard


def reading(observation: Any = (0.0, 0.0), reward: float = 0.0, **more: Any) -> Reading:
    return Reading(more.pop("stamp_ns", START), np.array(observation, np.float32), reward, **more)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def step(guard: Guard, action: np.ndarray, slot_ns: int) -> None:
    """A step of the policy that was applied as it was."""
    guard.wrote(action, slot_ns)
    guard.stepped(slot_ns)


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (reading(), None),
        (reading((2.0, -2.0)), None),
        (reading((np.nan, 0)), Fault.OBSERVATION_NOT_FINITE),
        (reading((0, -np.inf)), Fault.OBSERVATION_NOT_FINITE),
        (reading((2.001, 0)), Fault.OBSERVATION_OUT_OF_BOUNDS),
        (reading((0, -2.001)), Fault.OBSERVATION_OUT_OF_BOUNDS),
        (reading((0.0,)), Fault.OBSERVATION_SHAPE),
        (reading(0.0), Fault.OBSERVATION_SHAPE),
        (reading(stamp_ns=START - 100 * MS), None),
        (reading(stamp_ns=START - 101 * MS), Fault.OBSERVATION_STALE),
        (reading(stamp_ns=START + 101 * MS), Fault.OBSERVATION_STALE),
    ],
)
def test_an_observation_is_judged_before_the_policy_sees_it(seen, fault):
    guard = guard_of("velocity")
    assert guard.check_observation(seen, START) is fault
    assert sum(guard.counts.values()) == (fault is not None)


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (reading(reward=1.0), None),
        (reading(reward=-1.0), None),
        (reading(reward=np.nan), Fault.REWARD_NOT_FINITE),
        (reading(reward=np.inf), Fault.REWARD_NOT_FINITE),
        (reading(reward=1.01), Fault.REWARD_OUT_OF_BOUNDS),
        (reading(reward=-1.01), Fault.REWARD_OUT_OF_BOUNDS),
        (reading(reward=0.5, reward_valid=False), Fault.REWARD_MISSING),
    ],
)
def test_a_reward_is_judged_before_the_policy_is_told(seen, fault):
    guard = guard_of("velocity")
    assert guard.check_reward(seen) is fault
    assert sum(guard.counts.values()) == (fault is not None)


@pytest.mark.parametrize(
    ("mode", "action", "finite", "fault"),
    [
        ("velocity", vector(0, 0), True, None),
        ("velocity", vector(9, 0), True, None),  # `limit` brings it inside
        ("velocity", vector(np.nan, 0), False, Fault.ACTION_NOT_FINITE),
        ("velocity", vector(np.inf, 0), False, Fault.ACTION_NOT_FINITE),
        ("velocity", vector(0, 0), False, Fault.STATE_NOT_FINITE),
        ("discrete", np.array(2), True, None),
        ("discrete", np.array(3), True, Fault.ACTION_OUT_OF_BOUNDS),
        ("discrete", np.array(-1), True, Fault.ACTION_OUT_OF_BOUNDS),
        ("discrete", np.array(0), False, Fault.STATE_NOT_FINITE),
    ],
)
def test_a_proposal_is_judged_before_it_is_taken(mode, action, finite, fault):
    assert guard_of(mode).check_proposal(action, finite) is fault


def test_every_fault_has_a_response_in_every_mode():
    for fault in Fault:
        assert set(TABLE[fault]) == {"position", "delta", "velocity", "effort", "discrete"}


def test_the_mode_is_read_from_the_task():
    for mode in ("position", "delta", "velocity", "effort", "discrete"):
        assert mode_of(task_of(mode)) == mode


def test_position_holds_the_last_action_of_the_policy():
    guard = guard_of("position")
    step(guard, vector(0.5, -0.5), START)
    for slot in range(1, 6):
        now_ns = START + slot * PERIOD
        held = guard.without_step(Fault.OBSERVATION_STALE, now_ns, now_ns)
        assert held == pytest.approx([0.5, -0.5])
        guard.wrote(held, now_ns)


def test_velocity_shrinks_to_zero_within_the_longest_hold():
    guard = guard_of("velocity")
    step(guard, vector(1.0, -0.5), START)
    shares = []
    for slot in range(1, 6):
        now_ns = START + slot * PERIOD
        held = guard.without_step(Fault.OBSERVATION_STALE, now_ns, now_ns)
        assert held[1] == pytest.approx(-0.5 * held[0])
        shares.append(float(held[0]))
        guard.wrote(held, now_ns)
    assert shares == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0], abs=1e-6)


@pytest.mark.parametrize("mode", ["effort", "delta"])
def test_what_would_go_on_moving_when_held_is_replaced_by_the_safe_action(mode):
    guard = guard_of(mode)
    step(guard, vector(0.5, -0.5), START)
    assert guard.without_step(Fault.REWARD_MISSING, START + PERIOD, START + PERIOD) == pytest.approx([0.1, 0.1])


def test_a_choice_is_replaced_by_the_safe_one():
    guard = guard_of("discrete")
    step(guard, np.array(0), START)
    assert guard.without_step(Fault.STATE_NOT_FINITE, START + PERIOD, START + PERIOD).tolist() == 2


@pytest.mark.parametrize("mode", ["position", "velocity"])
def test_before_the_first_step_of_an_episode_there_is_only_the_safe_action(mode):
    guard = guard_of(mode)
    assert guard.without_step(Fault.OBSERVATION_STALE, START, START) == pytest.approx([0.1, 0.1])
    step(guard, vector(0.5, 0.5), START + PERIOD)
    guard.start_episode(START + 100 * PERIOD)
    later_ns = START + 100 * PERIOD
    assert guard.without_step(Fault.OBSERVATION_STALE, later_ns, later_ns) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("mode", ["position", "delta", "velocity", "effort", "discrete"])
def test_longer_than_the_longest_hold_is_a_stop_in_every_mode(mode):
    guard = guard_of(mode)
    step(guard, guard.safe_action, START)
    guard.without_step(Fault.OBSERVATION_STALE, START + 5 * PERIOD, START + 5 * PERIOD)
    with pytest.raises(SafeStop, match=r"observation too old; .* 0.12 s ago, longest hold 0.1 s"):
        guard.without_step(Fault.OBSERVATION_STALE, START + 6 * PERIOD, START + 6 * PERIOD)


def test_a_robot_that_tolerates_no_hold_is_stopped_at_once():
    guard = guard_of("effort", max_hold_s=0.0)
    step(guard, vector(0, 0), START)
    with pytest.raises(SafeStop):
        guard.without_step(Fault.OBSERVATION_STALE, START + PERIOD, START + PERIOD)


def test_the_third_proposal_in_a_row_that_is_not_finite_is_a_stop():
    guard = guard_of("position")
    step(guard, vector(0, 0), START)
    for action, finite in ((vector(np.nan, 0), False), (vector(0, 0), False)):
        guard.without_step(guard.check_proposal(action, finite), START + PERIOD, START + PERIOD)
    fault = guard.check_proposal(vector(0, 0), False)
    with pytest.raises(SafeStop, match="in a row"):
        guard.without_step(fault, START + PERIOD, START + PERIOD)


def test_a_good_proposal_starts_the_count_anew():
    guard = guard_of("position")
    for _ in range(4):
        for finite in (False, False, True):
            fault = guard.check_proposal(vector(0, 0), finite)
            if fault:
                guard.without_step(fault, START, START)


def test_a_table_that_says_stop_stops(monkeypatch):
    monkeypatch.setattr("dmh_edge.runtime.guard.TABLE", {Fault.REWARD_MISSING: {"velocity": Response.STOP}})
    with pytest.raises(SafeStop, match="reward missing"):
        guard_of("velocity").without_step(Fault.REWARD_MISSING, START, START)


def test_an_action_inside_its_limits_passes_as_it_is():
    guard = guard_of("velocity", slew=10)
    action = vector(0.25, -0.3)
    assert np.array_equal(guard.limit_proposal(action, START), action)
    assert sum(guard.counts.values()) == 0


@pytest.mark.parametrize(
    ("wished", "applied", "fault"),
    [
        (vector(1.5, 0), [1, 0], Fault.ACTION_OUT_OF_BOUNDS),
        (vector(0, -7), [0, -1], Fault.ACTION_OUT_OF_BOUNDS),
    ],
)
def test_what_is_clamped_is_counted(wished, applied, fault):
    guard = guard_of("velocity")
    assert guard.limit_proposal(wished, START) == pytest.approx(applied)
    assert guard.counts[fault] == 1


def test_what_arithmetic_adds_to_a_bound_is_clamped_but_is_no_fault():
    guard = guard_of("velocity")
    assert float(np.float32(0.6)) > 0.6  # the nearest one that float32 has
    assert float(guard.limit_proposal(vector(0, 0.6), START)[1]) <= 0.6
    assert sum(guard.counts.values()) == 0


def test_a_float32_bound_is_never_outside_the_exact_one():
    elements = (Element(name="one", low=-0.6, high=0.6), Element(name="two", low=0.1, high=0.6))
    task = task_of("velocity")
    guard = Guard(
        task.model_copy(update={"action": task.action.model_copy(update={"elements": elements})}), PERIOD, False
    )
    lowest, highest = guard.limit(vector(-9, -9), START), guard.limit(vector(9, 9), START)
    assert float(np.float32(-0.6)) < -0.6  # the nearest one that float32 has
    assert -0.6 <= float(lowest[0]) == pytest.approx(-0.6)
    assert 0.1 <= float(lowest[1]) == pytest.approx(0.1)
    assert float(highest[0]) <= 0.6


def test_the_slew_is_measured_from_the_last_applied_action():
    guard = guard_of("velocity", slew=10)  # 0.2 per period
    assert guard.limit_proposal(vector(1, 0.6), START) == pytest.approx([0.3, 0.6])  # from the safe 0.1
    assert guard.counts[Fault.ACTION_TOO_FAST] == 1
    guard.wrote(vector(0.25, 0), START)  # the robot took less than it was asked
    assert guard.limit(vector(1, 0), START + PERIOD) == pytest.approx([0.45, 0])


def test_neither_a_short_slot_nor_skipped_ones_allow_a_leap():
    guard = guard_of("velocity", slew=10)
    guard.wrote(vector(0, 0), START)
    assert guard.limit(vector(1, 0), START + PERIOD // 2) == pytest.approx([0.1, 0])
    assert guard.limit(vector(1, 0), START + 50 * PERIOD) == pytest.approx([0.2, 0])


def test_in_lockstep_an_action_lasts_one_period_whatever_the_clock_says():
    guard = guard_of("velocity", slew=10, lockstep=True)
    guard.wrote(vector(0, 0), START)
    assert guard.limit(vector(1, 0), START + PERIOD // 2) == pytest.approx([0.2, 0])


def test_a_held_action_keeps_the_slew_limit_too():
    guard = guard_of("velocity", slew=1)  # 0.02 per period, slower than the ramp
    step(guard, vector(0.9, 0), START)
    assert guard.without_step(Fault.OBSERVATION_STALE, START + PERIOD, START + PERIOD)[0] == pytest.approx(0.88)


@given(
    st.lists(
        st.tuples(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32), st.integers(0, 3 * PERIOD), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([0.5, 10.0, None]),
    st.sampled_from(["position", "velocity", "effort", "delta"]),
)
def test_whatever_happens_what_is_written_keeps_bounds_and_slew(events, slew, mode):
    guard = guard_of(mode, slew=slew)
    now_ns, before = START, guard.safe_action
    step(guard, before, now_ns)
    for one, two, passed_ns, held in events:
        now_ns += passed_ns
        if held and passed_ns <= PERIOD:
            action = guard.without_step(Fault.OBSERVATION_STALE, START + passed_ns, now_ns)
        else:
            action = guard.limit_proposal(vector(one, two), now_ns)
        assert action.dtype == np.float32
        assert -1 <= float(action[0]) <= 1
        assert -1 <= float(action[1]) <= 0.6
        if slew is not None:
            assert abs(float(action[0]) - float(before[0])) <= slew * min(passed_ns, PERIOD) / 1e9 + 1e-6
        guard.wrote(action, now_ns)
        before = action
