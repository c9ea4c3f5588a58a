from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmh_edge.clock import Slot
from dmh_edge.errors import ConfigError
from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.robots.protocol import Reading
from dmh_edge.runtime.guard.faults import Fault
from dmh_edge.runtime.guard.guard import Guard, SafeStop
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.guard.responses import ROW_OF, TABLE, allowed, control_mode
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec, safe_action

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


def guard_of(
    mode: str,
    *,
    lockstep: bool = False,
    chosen: dict[str, Any] | None = None,
    damps: bool = False,
    task: TaskSpec | None = None,
    **more: Any,
) -> Guard:
    settings = GuardSettings(**(chosen or {}))
    guard = Guard(task or task_of(mode, **more), PERIOD, lockstep, settings, damps=damps)
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


def test_every_row_has_a_response_in_every_mode_and_it_is_one_that_the_mode_allows():
    assert set(ROW_OF.values()) == set(TABLE)
    for row, responses in TABLE.items():
        assert set(responses) == {"position", "delta", "velocity", "effort", "discrete"}
        assert all(response in allowed(row, mode) for mode, response in responses.items())


def test_the_mode_is_read_from_the_task():
    for mode in ("position", "delta", "velocity", "effort", "discrete"):
        assert control_mode(task_of(mode)) == mode


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


def test_what_would_go_on_moving_when_held_is_replaced_by_the_safe_action():
    guard = guard_of("delta")
    step(guard, vector(0.5, -0.5), START)
    assert guard.without_step(Fault.REWARD_MISSING, START + PERIOD, START + PERIOD) == pytest.approx([0.1, 0.1])


def test_an_effort_is_never_held_the_robot_damps_itself_or_is_stopped():
    damping, stiff = guard_of("effort", damps=True), guard_of("effort")
    for guard in (damping, stiff):
        step(guard, vector(0.5, -0.5), START)
    assert damping.without_step(Fault.LATE, START + PERIOD, START + PERIOD) is None
    with pytest.raises(SafeStop, match="late"):
        stiff.without_step(Fault.LATE, START + PERIOD, START + PERIOD)


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
    guard = guard_of(mode, damps=True)
    step(guard, safe_action(task_of(mode)), START)
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


@pytest.mark.parametrize("fault", list(ROW_OF))
def test_a_robots_settings_may_turn_every_row_into_a_stop(fault):
    guard = guard_of("velocity", chosen={ROW_OF[fault]: "stop"}, slew=10)
    wished = vector(0.2, 9) if fault is Fault.ACTION_OUT_OF_BOUNDS else vector(0.9, 0)
    limits = ROW_OF[fault] == "limits"
    with pytest.raises(SafeStop, match=fault.value):
        guard.limit_proposal(wished, START) if limits else guard.without_step(fault, START, START)


@pytest.mark.parametrize(
    ("mode", "chosen", "says"),
    [
        ("effort", {"late": "hold"}, "late: got 'hold', but actions in effort mode allow only: damp, stop"),
        ("position", {"late": "ramp"}, "allow only: hold, stop"),
        ("velocity", {"observation": "hold"}, "allow only: ramp, safe, stop"),
        ("discrete", {"proposal": "hold"}, "allow only: safe, stop"),
        ("velocity", {"limits": "hold"}, "limits: .* allow only: clamp, stop"),
        ("effort", {"late": "damp"}, "the robot cannot damp itself"),
        ("velocity", {"max_hold_s": 0.2}, "max_hold_s: got 0.2 s, .* allows 0.1 s at most"),
        ("velocity", {"max_observation_age_s": 1}, "allows 0.1 s at most"),
        ("discrete", {"ramp_s": 1}, "choices cannot be ramped"),
    ],
)
def test_a_setting_that_a_mode_or_the_contract_does_not_allow_is_refused(mode, chosen, says):
    with pytest.raises(ConfigError, match=says):
        guard_of(mode, chosen=chosen)


def test_a_stricter_setting_than_the_contracts_holds():
    guard = guard_of("position", chosen={"max_hold_s": 0.04, "max_observation_age_s": 0.03})
    step(guard, vector(0, 0), START)
    assert guard.check_observation(reading(stamp_ns=START - 31 * MS), START) is Fault.OBSERVATION_STALE
    guard.without_step(Fault.OBSERVATION_STALE, START + 2 * PERIOD, START + 2 * PERIOD)
    with pytest.raises(SafeStop, match=r"longest hold 0\.04 s"):
        guard.without_step(Fault.OBSERVATION_STALE, START + 3 * PERIOD, START + 3 * PERIOD)


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
    st.sampled_from(["position", "velocity", "delta"]),
)
def test_whatever_happens_what_is_written_keeps_bounds_and_slew(events, slew, mode):
    guard = guard_of(mode, slew=slew, chosen={"longest_clamp_s": 60, "exploded": 1e9})
    now_ns, before = START, safe_action(task_of(mode))
    step(guard, before, now_ns)
    for one, two, passed_ns, held in events:
        now_ns += passed_ns
        if held and passed_ns <= PERIOD:
            guard.stepped(now_ns - passed_ns)
            action = guard.without_step(Fault.OBSERVATION_STALE, now_ns, now_ns)
        else:
            action = guard.limit_proposal(vector(one, two), now_ns)
        assert action.dtype == np.float32
        assert -1 <= float(action[0]) <= 1
        assert -1 <= float(action[1]) <= 0.6
        if slew is not None:
            assert abs(float(action[0]) - float(before[0])) <= slew * min(passed_ns, PERIOD) / 1e9 + 1e-6
        guard.wrote(action, now_ns)
        before = action


# ------------------------------------------------------------------------------------------------------------ lateness


def slot(index: int, skipped: int = 0) -> Slot:
    return Slot(index, START + index * PERIOD, 0, skipped)


def test_an_action_is_late_when_it_is_ready_after_its_budget():
    guard, strict = guard_of("velocity"), guard_of("velocity", chosen={"budget_s": 0.005})
    assert guard.check_late(START, START + PERIOD) is None
    assert guard.check_late(START, START + PERIOD + 1) is Fault.LATE
    assert strict.check_late(START, START + 5 * MS) is None
    assert strict.check_late(START, START + 5 * MS + 1) is Fault.LATE


def test_a_late_slot_is_counted_once():
    guard = guard_of("velocity")
    guard.begin_slot(slot(0))
    for _ in range(3):
        guard.check_late(START, START + 2 * PERIOD)
    guard.end_slot(START, START + 2 * PERIOD)
    assert guard.counts[Fault.LATE] == 1


def test_in_lockstep_nothing_is_late():
    guard = guard_of("velocity", lockstep=True)
    guard.begin_slot(slot(500, skipped=499))
    assert guard.check_late(START, START + 100 * PERIOD) is None
    guard.end_slot(START, START + 100 * PERIOD)
    assert sum(guard.counts.values()) == 0


def take(guard: Guard, index: int, late: bool, skipped: int = 0) -> None:
    """A slot with a step of the policy."""
    begin_ns = START + index * PERIOD
    guard.begin_slot(slot(index, skipped))
    step(guard, vector(0, 0), begin_ns)
    guard.end_slot(begin_ns, begin_ns + (PERIOD + 1 if late else 0))


def test_k_late_slots_among_the_last_n_are_a_stop():
    guard = guard_of("velocity", chosen={"late_slots": 3, "late_window": 5})
    for index, late in enumerate([True, False, False, True, False, True, False, False]):  # never three among five
        take(guard, index, late)
    take(guard, 8, late=True)
    with pytest.raises(SafeStop, match="late too often: 3 of the last 5 slots"):
        take(guard, 9, late=True)
    assert guard.counts[Fault.LATE_TOO_OFTEN] == 1


def test_skipped_slots_are_late_ones():
    guard = guard_of("velocity", chosen={"late_slots": 3, "late_window": 50})
    take(guard, 0, late=False)
    with pytest.raises(SafeStop, match="late too often"):
        take(guard, 4, late=False, skipped=3)


def test_a_slot_that_comes_after_too_long_a_silence_is_a_stop_however_good_it_is():
    guard = guard_of("position")
    take(guard, 0, late=False)
    take(guard, 6, late=False, skipped=5)  # the robot went on for five slots: 0.1 s
    with pytest.raises(SafeStop, match="held too long"):
        take(guard, 13, late=False, skipped=6)


def test_a_tick_that_is_ready_many_periods_late_has_been_held_as_long():
    guard = guard_of("position")
    step(guard, vector(0, 0), START)
    guard.without_step(Fault.LATE, START + PERIOD, START + 5 * PERIOD)
    with pytest.raises(SafeStop, match=r"late; the policy's last step was 0\.12 s ago"):
        guard.without_step(Fault.LATE, START + PERIOD, START + 6 * PERIOD)


# ------------------------------------------------------------------------------------------- frozen, stamps, clamping


def test_values_that_do_not_change_under_fresh_stamps_are_frozen():
    guard = guard_of("velocity")
    for index in range(25):
        stamp_ns = START + index * PERIOD
        assert guard.check_observation(reading((0.5, 0.5), stamp_ns=stamp_ns), stamp_ns) is None
    late_ns = START + 25 * PERIOD
    assert guard.check_observation(reading((0.5, 0.5), stamp_ns=late_ns), late_ns) is Fault.OBSERVATION_FROZEN
    assert guard.check_observation(reading((0.5, 0.51), stamp_ns=late_ns), late_ns) is None


@pytest.mark.parametrize(
    ("seen", "chosen", "lockstep", "levels"),
    [
        ((0.5, 0.5), {"frozen_s": None}, False, None),
        ((0.5, 0.5), {}, True, None),  # its time stands still
        ((2.0, -2.0), {}, False, None),  # both at an end stop
        ((0.0, 1.0), {}, False, 5),  # whole numbers
    ],
)
def test_what_may_rightly_stay_the_same_is_not_frozen(seen, chosen, lockstep, levels):
    task = task_of("velocity")
    elements = tuple(element.model_copy(update={"levels": levels}) for element in task.observation)
    guard = guard_of("", task=task.model_copy(update={"observation": elements}), chosen=chosen, lockstep=lockstep)
    for index in range(100):
        stamp_ns = START + index * PERIOD
        assert guard.check_observation(reading(seen, stamp_ns=stamp_ns), stamp_ns) is None


def test_a_stamp_before_the_newest_one_is_a_fault_until_time_has_passed_it():
    guard = guard_of("velocity")
    stamps = [0, 20, -10, 10, 30]
    faults = [guard.check_observation(reading(stamp_ns=START + ms * MS), START + ms * MS) for ms in stamps]
    assert faults == [None, None, Fault.CLOCK_STEPPED_BACK, Fault.CLOCK_STEPPED_BACK, None]


def test_an_action_that_explodes_is_not_taken():
    guard = guard_of("velocity")
    assert guard.check_proposal(vector(0, 100), True) is None
    assert guard.check_proposal(vector(0, -101), True) is Fault.ACTION_EXPLODED


def test_clamping_every_step_for_too_long_is_a_stop_and_one_free_step_starts_the_time_anew():
    guard = guard_of("velocity", chosen={"longest_clamp_s": 0.1})
    for action in [9] * 5 + [0] + [9] * 5:
        guard.limit_proposal(vector(action, 0), START)
    with pytest.raises(SafeStop, match="clamped for too long"):
        guard.limit_proposal(vector(9, 0), START)


# ------------------------------------------------------------------------------------------------- the measured pose


def measured(**action: Any) -> TaskSpec:
    """A task in position mode whose action elements are measured by the two angles, the second one first."""
    task = task_of("position", slew=10)
    change = {"measured_as": ("elbow_angle", "shoulder_angle")} | action
    return task.model_copy(update={"action": task.action.model_copy(update=change)})


def seen_at(guard: Guard, index: int, observation: Any) -> None:
    stamp_ns = START + index * PERIOD
    assert guard.check_observation(reading(observation, stamp_ns=stamp_ns), stamp_ns) is None


def test_an_episode_begins_at_the_measured_pose():
    guard = guard_of("", task=measured())
    seen_at(guard, 0, (-0.5, 0.7))
    assert guard.standing(START) == pytest.approx([0.7, -0.5])
    assert guard.limit(vector(-1, 0.6), START)[0] == pytest.approx(0.5)  # 10 per second from 0.7
    assert guard.without_step(Fault.REWARD_MISSING, START, START) == pytest.approx([0.7, -0.5])


def test_the_pose_is_measured_from_the_default_one_where_actions_are():
    guard = guard_of("", task=measured(default_pose=(0.5, -0.25)))
    seen_at(guard, 0, (-0.5, 0.75))
    assert guard.standing(START) == pytest.approx([0.25, -0.25])


def test_without_a_measured_pose_there_is_no_place_to_hold():
    guard = guard_of("", task=measured())
    with pytest.raises(SafeStop, match="no pose measured yet"):
        guard.without_step(Fault.OBSERVATION_STALE, START, START)
    with pytest.raises(SafeStop, match="no pose measured yet"):
        guard.standing(START)  # under an action delay nothing else is due yet
    assert guard_of("position").standing(START) == pytest.approx([0.1, 0.1])  # nobody measures: its safe action


@pytest.mark.parametrize("mode", ["position", "velocity"])
def test_the_policys_influence_grows_from_where_the_robot_is(mode):
    task = measured() if mode == "position" else task_of(mode)
    start = [0.7, -0.5] if mode == "position" else [0.1, 0.1]
    guard = Guard(task, PERIOD, False, GuardSettings(), simulated=False)
    guard.start_episode(START)
    seen_at(guard, 0, (-0.5, 0.7))
    for index in range(0, 60, 5):
        now_ns = START + index * PERIOD
        share = min(1, index / 50)
        expected = [start[0] + share * (0.9 - start[0]), start[1] + share * (0.5 - start[1])]
        assert guard.limit_proposal(vector(0.9, 0.5), now_ns) == pytest.approx(expected, abs=1e-5)
    guard.start_episode(START + 60 * PERIOD)  # the next episode begins at full influence
    seen_at(guard, 60, (-0.5, 0.9))
    assert guard.limit_proposal(vector(0.9, 0.5), START + 60 * PERIOD) == pytest.approx([0.9, 0.5])


def test_a_simulated_robot_is_not_ramped():
    guard = Guard(task_of("velocity"), PERIOD, False, GuardSettings(), simulated=True)
    guard.start_episode(START)
    assert guard.limit_proposal(vector(0.9, 0.5), START) == pytest.approx([0.9, 0.5])


def test_a_robot_that_is_not_where_it_was_told_to_be_is_stopped_after_a_while():
    guard = guard_of("", task=measured(), chosen={"tracking_s": 0.1, "frozen_s": None})
    seen_at(guard, 0, (0, 0))
    step(guard, vector(0.45, 0), START)
    for index in range(1, 20):
        seen_at(guard, index, (0, 0))  # a quarter of the range of 2 is not yet too far
    step(guard, vector(0.55, 0), START)
    for index in range(20, 25):
        seen_at(guard, index, (0, 0))
    with pytest.raises(SafeStop, match=r"tracking error over its limit: told .* for 0\.1 s"):
        seen_at(guard, 25, (0, 0))
    assert guard.counts[Fault.TRACKING] == 1


def test_a_robot_that_arrives_in_time_is_not_stopped():
    guard = guard_of("", task=measured(), chosen={"tracking_s": 0.1})
    seen_at(guard, 0, (0, 0))
    step(guard, vector(0.9, 0), START)
    for index in range(1, 40):
        seen_at(guard, index, (0, 0.9 if index % 5 == 0 else 0.0))
