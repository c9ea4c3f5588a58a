from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from dmh_edge.errors import BackendError, ContractError
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy

World = dict[str, NDArray[Any]]
Open = Callable[[int], OrtSession]


def random_tick(session: OrtSession, random: np.random.Generator, start: bool | list[bool] = False) -> World:
    world = {}
    for spec in session.contract.model.world:
        zeros = spec.zeros(session.batch)
        world[spec.name] = random.integers(2, size=zeros.shape) if zeros.dtype == np.int64 else zeros
        if zeros.dtype == np.float32:
            world[spec.name] = random.uniform(-1, 1, zeros.shape).astype(np.float32)
    world["episode_start"] = np.broadcast_to(np.array(start), (session.batch,)).copy()
    return world


def run(session: OrtSession, ticks: list[World]) -> list[World]:
    outputs = []
    for tick in ticks:
        outputs.append({name: array.copy() for name, array in session.step(tick).items()})
        session.commit()
    return outputs


def assert_equal(one: World, other: World) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def an_episode(session: OrtSession, length: int = 8, seed: int = 0) -> list[World]:
    random = np.random.default_rng(seed)
    return [random_tick(session, random, start=tick == 0) for tick in range(length)]


def test_a_proposal_that_nobody_commits_is_forgotten(open_session: Open) -> None:
    patient, hasty = open_session(1), open_session(1)
    ticks = an_episode(patient)
    expected = run(patient, ticks)
    for tick, outputs in zip(ticks, expected, strict=True):
        hasty.step(random_tick(hasty, np.random.default_rng(9), start=True))
        assert_equal(dict(hasty.step(tick)), outputs)
        hasty.commit()
    assert_equal(hasty.state(), patient.state())


def test_memory_changes_on_its_own_ticks_alone(open_session: Open) -> None:
    session = open_session(1)
    every = max(graph.every for graph in session.contract.model.graphs)
    before = session.state()["memory_ssm"]
    for index, tick in enumerate(an_episode(session)):
        session.step(tick)
        session.commit()
        after = session.state()["memory_ssm"]
        assert np.array_equal(before, after) == (index % every != 0)
        before = after


def test_a_session_says_which_graphs_its_last_step_ran(open_session: Open) -> None:
    session = open_session(1)
    graphs = session.contract.model.graphs
    assert list(session.ran) == []
    for index, tick in enumerate(an_episode(session)):
        session.step(tick)
        session.step(tick)  # a proposal that is not committed runs the same graphs again
        assert list(session.ran) == [index % graph.every == 0 for graph in graphs]
        session.commit()


def test_robots_of_one_batch_do_not_know_of_each_other(open_session: Open) -> None:
    together, alone = open_session(3), [open_session(1) for _ in range(3)]
    random = np.random.default_rng(1)
    for tick in range(12):
        starts = [tick in (0, 4), tick in (0, 5), tick == 0]
        world = random_tick(together, random, starts)
        outputs = together.step(world)
        for row, session in enumerate(alone):
            single = session.step({name: array[row : row + 1] for name, array in world.items()})
            session.commit()
            for name, array in single.items():
                np.testing.assert_allclose(outputs[name][row], array[0], atol=1e-6, err_msg=name)
        together.commit()


def test_forgetting_zeroes_the_chosen_robots_alone(open_session: Open) -> None:
    session = open_session(2)
    run(session, an_episode(session))
    before = session.state()
    session.forget(np.array([True, False]))
    for spec in session.contract.model.state:
        kept, zeroed = (np.take(session.state()[spec.name], row, spec.batch_axis) for row in (1, 0))
        np.testing.assert_array_equal(kept, np.take(before[spec.name], 1, spec.batch_axis))
        assert not zeroed.any()
    assert session.state()["ticks_in_episode"].tolist() == [0, 8]


def test_a_forgetful_session_is_as_new(open_session: Open) -> None:
    used, new = open_session(1), open_session(1)
    run(used, an_episode(used, seed=3))
    used.forget()
    ticks = an_episode(new, seed=4)
    for one, other in zip(run(used, ticks), run(new, ticks), strict=True):
        assert_equal(one, other)


def test_a_restored_state_goes_on_where_it_was_taken(open_session: Open) -> None:
    session, other = open_session(1), open_session(1)
    ticks = an_episode(session, 10)
    run(session, ticks[:5])
    other.restore(session.state())
    for one, two in zip(run(session, ticks[5:]), run(other, ticks[5:]), strict=True):
        assert_equal(one, two)


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(open_session: Open) -> None:
    session = open_session(1)
    run(session, an_episode(session))
    before = session.state()
    with pytest.raises(ContractError, match=r"memory_ssm.*expected float32"):
        session.restore(before | {"memory_ssm": before["memory_ssm"].astype(np.float64)})
    with pytest.raises(ContractError, match="'subgoal': got nothing"):
        session.restore({name: array + 1 for name, array in before.items() if name != "subgoal"})
    assert_equal(session.state(), before)


@pytest.mark.parametrize("name", ["observation", "reward"])
def test_a_number_that_is_not_finite_shows_in_the_proposal_and_goes_with_it(open_session: Open, name: str) -> None:
    session = open_session(1)
    ticks = an_episode(session)
    run(session, ticks[:4])
    before = session.state()
    session.step(ticks[4])
    assert session.proposal_is_finite()
    session.step(ticks[4] | {name: np.full_like(ticks[4][name], np.nan)})
    assert not session.proposal_is_finite()
    assert_equal(session.state(), before)


def test_a_graph_of_another_policy_is_refused(folder: Any) -> None:
    policy = Policy.load(folder)
    renamed = policy.contract.model_copy(update={"name": "somebody-else"})
    with pytest.raises(ContractError, match=r"dmh_edge.policy is 'tiny-discrete'.*'somebody-else'"):
        OrtSession(Policy(folder, renamed, policy.sha256))


def test_a_file_that_is_no_graph_is_refused(folder: Any) -> None:
    policy = Policy.load(folder)
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"model.onnx cannot be loaded"):
        OrtSession(policy)


def test_cuda_where_there_is_none_is_one_clear_sentence(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"no CUDAExecutionProvider.*--backend ort-cpu"):
        OrtSession(policy, device="cuda")


def test_the_engine_starts_no_thread_and_reports_to_nobody(policy):
    """Its maker's threads are there from its import on."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from dmh_edge.runtime.sessions.policy import Policy\n"
        "from dmh_edge.runtime.sessions.ort import OrtSession\n"
        "OrtSession(Policy.load(Path(sys.argv[1])), 1)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy's would be others
    command = [sys.executable, "-c", code, str(policy.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "1\n"
