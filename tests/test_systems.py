"""Every system on every kind of task, the whole way: train, evaluate, export with plans, prove, run in the loop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmh_edge import cli, names, presets
from dmh_edge.runtime.sessions.policy import Policy

SMALL = {
    "model.width": 8,
    "model.heads": 2,
    "model.layers": 1,
    "model.state_size": 2,
    "model.memory_layers": 1,
    "model.subgoal_size": 4,
    "model.window_episodes": 2,
    "data.batch": 2,
    "data.episodes_per_context": 2,
    "training.updates": 3,
    "training.log_every": 1,
    "training.checkpoint_every": 1,
    "training.device": "cpu",
}


@pytest.fixture(scope="module", params=["darkroom", "dark-reacher"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task, and a small data set of it."""
    out = tmp_path_factory.mktemp("data") / request.param
    dmh_edge("data", request.param, "--out", out, "--histories", 1, "--episodes", 2)
    return request.param, out


def dmh_edge(*arguments: object) -> None:
    """The command line, in this process: importing torch twelve times over would take longer than the tests."""
    cli.app([str(argument) for argument in arguments], standalone_mode=False)


@pytest.mark.parametrize("kind", names.MODELS)
def test_a_system_trains_evaluates_exports_with_parity_and_runs(
    kind: str, data: tuple[str, Path], tmp_path: Path
) -> None:
    task, episodes = data
    run, deploy, records = tmp_path / "run", tmp_path / "deploy", tmp_path / "records"
    known = presets.PRESETS[task, kind, False].model_dump()
    settings = [f"{name}={value}" for name, value in SMALL.items() if name.split(".")[1] in known[name.split(".")[0]]]
    dmh_edge(
        "train", task, "--model", kind, "--data", episodes, "--out", run, *(f"--set={setting}" for setting in settings)
    )
    dmh_edge("eval", run, "--episodes", 2, "--seeds", 1)
    curves = json.loads((run / "evaluation.json").read_text())["curves"]
    assert curves[0]["name"] == kind

    dmh_edge("export", run, "--trt", "--trt-target", "sm89", "--out", deploy)
    policy = Policy.load(deploy)
    assert policy.has_engines
    links = {(figure.reference.split(",")[0], figure.candidate) for figure in policy.contract.parity}
    assert links >= {("torch forward float64", "torch step float64"), ("torch step float32", "ort-cpu float32")}
    assert all(figure.worst_error <= figure.tolerance for figure in policy.contract.parity)

    arguments = ("--robot", f"gym:{task}", "--rate", 500, "--ticks", 40, "--out", records)
    dmh_edge("run", "--engine", deploy, *arguments)
    summary = json.loads((records / "summary.json").read_text())
    assert (summary["stopped_by"], summary["ticks"]) == ("ticks", 40)
