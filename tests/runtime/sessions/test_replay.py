from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmh_edge.errors import ParityError
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import Comparison, coarseness, gumbel, replay
from dmh_edge.trace import Trace

Open = Callable[[int], OrtSession]
POLICIES = Path(__file__).parents[2] / "policies"
NO_NOISE = np.zeros((1, 2), np.float32)


def test_the_golden_trace_replays_within_the_tolerance(policy: Policy, open_session: Open) -> None:
    figure = replay(policy.golden_trace(), open_session(1)).require()
    assert figure.ticks == policy.golden_trace().ticks
    assert 0 < figure.worst_error < figure.tolerance


def test_what_rounds_coarsely_is_replayed_within_what_its_export_measured(policy: Policy, open_session: Open) -> None:
    session = open_session(1)
    output = "logits" if "logits" in policy.golden_trace().outputs else "action"
    session.contract = session.contract.model_copy(update={"rounding": {output: 2e-5, "memory_ssm": 1e-7}})
    comparison = replay(policy.golden_trace(), session)
    assert (comparison.allowed(output), comparison.allowed("memory_ssm")) == (pytest.approx(2e-4), 1e-5)
    assert comparison.allowed("memory_conv") == 1e-5  # no figure, no allowance


def test_what_rounds_coarsely_is_said_and_what_does_not_is_not(policy: Policy) -> None:
    assert coarseness(policy.contract) == ""
    coarse = policy.contract.model_copy(update={"rounding": {"subgoal": 2e-6, "logits": 9e-7, "memory_ssm": 3e-6}})
    assert coarseness(coarse) == (
        "float32 puts this policy up to 3.0e-06 from float64, in memory_ssm: "
        "there a backend may be 3.0e-05 from PyTorch, and 1e-05 where rounding is fine"
    )


def test_an_error_counts_by_what_is_allowed_of_its_tensor() -> None:
    comparison = Comparison("a", "b", 1e-5, {"coarse": 1e-5})
    exact = {"coarse": np.zeros(1), "fine": np.zeros(1)}
    comparison.tick(0, exact, {"coarse": np.array([9e-5]), "fine": np.array([9.5e-6])}, NO_NOISE)
    figure = comparison.require()
    assert (figure.worst_tensor, figure.worst_error, figure.tolerance) == ("fine", pytest.approx(9.5e-6), 1e-5)
    comparison.tick(1, exact, {"coarse": np.array([2e-4]), "fine": np.zeros(1)}, NO_NOISE)
    with pytest.raises(
        ParityError, match=r"first at tick 1, tensor coarse: error 0.0002, allowed 0.0001; worst: coarse"
    ):
        comparison.require()


def test_the_first_ticks_alone_can_be_replayed(policy: Policy, open_session: Open) -> None:
    assert replay(policy.golden_trace(), open_session(1), ticks=50).require().ticks == 50


def test_one_wrong_input_is_found_by_tick_and_tensor(policy: Policy, open_session: Open) -> None:
    trace = policy.golden_trace()
    observation = np.array(trace.world["observation"])
    observation[7] += 1
    wrong = replace(trace, world={**trace.world, "observation": observation})
    with pytest.raises(ParityError, match=r"first at tick 7, tensor (logits|action)"):
        replay(wrong, open_session(1)).require()


def test_a_wrong_final_state_is_found(policy: Policy, open_session: Open) -> None:
    trace = policy.golden_trace()
    wrong = replace(trace, final_state={**trace.final_state, "memory_ssm": trace.final_state["memory_ssm"] + 1e-3})
    with pytest.raises(ParityError, match=f"tick {trace.ticks - 1}, tensor memory_ssm"):
        replay(wrong, open_session(1)).require()


def test_a_session_of_another_batch_is_refused(policy: Policy, open_session: Open) -> None:
    with pytest.raises(ParityError, match="the trace has 1 robots, the session 2"):
        replay(policy.golden_trace(), open_session(2))


def test_a_nan_is_no_parity() -> None:
    comparison = Comparison("a", "b", 1e-5)
    comparison.tick(0, {"x": np.ones(2)}, {"x": np.array([1.0, np.nan])}, NO_NOISE)
    comparison.tick(1, {"x": np.ones(2)}, {"x": np.ones(2)}, NO_NOISE)
    with pytest.raises(ParityError, match="tick 0, tensor x"):
        comparison.require()


def test_a_choice_between_near_equals_may_fall_either_way_and_no_other() -> None:
    near, clear = np.array([[1.0, 1.0 + 1e-6]]), np.array([[1.0, 1.1]])
    for logits, fails in ((near, False), (clear, True)):
        comparison = Comparison("a", "b", 1e-5)
        reference = {"action": np.array([1]), "logits": logits}
        comparison.tick(0, reference, {"action": np.array([0]), "logits": logits}, NO_NOISE)
        assert bool(comparison.first_failure) == fails


def test_what_is_near_or_clear_is_judged_by_what_the_choice_was_made_of() -> None:
    noise = np.array([[0.0, 1.0]], np.float32)
    difference = gumbel(noise)[0, 1] - gumbel(noise)[0, 0]
    for logits, fails in ((np.array([[difference, 0.0]]), False), (np.array([[0.0, 0.0]]), True)):
        comparison = Comparison("a", "b", 1e-5)
        reference = {"action": np.array([1]), "logits": logits}
        comparison.tick(0, reference, {"action": np.array([0]), "logits": logits}, noise)
        assert bool(comparison.first_failure) == fails


def test_the_noise_of_a_choice_is_the_one_in_the_graph() -> None:
    trace = Trace.load(POLICIES / "tiny-discrete" / "model.trace.npz")
    logits, choices = trace.outputs["logits"], trace.outputs["action"]
    scores = logits + gumbel(trace.world["noise"][..., -logits.shape[-1] :])
    assert (scores.argmax(-1) == choices).all()
    assert (logits.argmax(-1) != choices).any()


def test_errors_are_relative_to_large_tensors_and_absolute_for_small_ones() -> None:
    comparison = Comparison("a", "b", 1.0)
    comparison.tick(0, {"small": np.array([0.01])}, {"small": np.array([0.02])}, NO_NOISE)
    assert comparison.figure().worst_error == pytest.approx(0.01)
    comparison.tick(1, {"large": np.array([-100.0, 0.0])}, {"large": np.array([-100.0, 2.0])}, NO_NOISE)
    assert comparison.figure().worst_error == pytest.approx(0.02)


def test_the_scale_of_a_tensor_is_the_largest_it_has_been() -> None:
    comparison = Comparison("a", "b", 1.0)
    comparison.tick(0, {"x": np.array([100.0])}, {"x": np.array([100.0])}, NO_NOISE)
    comparison.tick(1, {"x": np.array([1.0])}, {"x": np.array([2.0])}, NO_NOISE)
    assert comparison.figure().worst_error == pytest.approx(0.01)
