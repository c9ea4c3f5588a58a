"""The commands, one after the other on a small Darkroom as a user calls them, and what they say when they refuse."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import typer

from dmh_edge import __version__, cli
from dmh_edge.checkpoint import Checkpoint
from dmh_edge.cli import running
from dmh_edge.config import CONFIG_NAME
from dmh_edge.evaluate import Evaluation
from dmh_edge.runtime.guard.guard_settings import load_guard
from dmh_edge.runtime.records.record import Record
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.policy import NOTE_NAME, Policy
from dmh_edge.schema import parse
from dmh_edge.trace import Trace

SMALL = {
    "model": {"width": 8, "heads": 2, "subgoal_size": 4, "state_size": 4, "memory_layers": 1, "actor_layers": 1},
    "data": {"batch": 4, "episodes_per_context": 2, "hold_out": 3},
    "training": {"warm_up": 1, "log_every": 1, "checkpoint_every": 2, "device": "cpu"},
}


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def dmh_edge(*arguments: Any) -> Done:
    """Run a command as the installed script does."""
    out, err = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["dmh-edge", *map(str, arguments)])
    code = 0
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as left:
            code = int(left.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def well(*arguments: Any) -> Done:
    """Run a command that must succeed."""
    done = dmh_edge(*arguments)
    assert done.code == 0, done.err
    return done


def refused(*arguments: Any) -> str:
    """The one sentence of a command that must fail as was foreseen."""
    done = dmh_edge(*arguments)
    assert done.code == 1, (done.code, done.err)
    *before, last = done.err.splitlines()
    assert last.startswith("error: ")
    assert not any("Traceback" in line or line.startswith("error") for line in before)
    return last


@pytest.fixture(scope="module", autouse=True)
def _one_thread():  # type: ignore[no-untyped-def]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "darkroom"
    done = well("data", "darkroom", "--out", folder, "--histories", 1, "--episodes", 2, "--seed", 3)
    assert done.err == f"wrote {folder}\n"
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "small.json"
    file.write_text(json.dumps(SMALL))
    return file


@pytest.fixture(scope="module")
def run(data: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "darkroom"
    well("train", "darkroom", "--data", data, "--out", out, "--config", small, "--set", "training.updates=4")
    return out


@pytest.fixture(scope="module")
def deployed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A policy with plans for one kind of GPU, which this machine need not have."""
    out = tmp_path_factory.mktemp("deploy") / "darkroom"
    return out, well("export", run, "--trt", "--trt-target", "sm86", "--out", out)


@pytest.fixture(scope="module")
def policy(deployed: tuple[Path, Done]) -> Path:
    return deployed[0]


@pytest.fixture
def copy(policy: Path, tmp_path: Path) -> Path:
    """A policy that a test may spoil."""
    return Path(shutil.copytree(policy, tmp_path / "policy"))


def test_the_version_and_the_commands_are_told():
    assert well("--version").out == f"dmh-edge {__version__}\n"
    said = well("--help").out
    assert all(command in said for command in ("data", "train", "eval", "export", "inspect", "parity", "run"))


@pytest.mark.parametrize(
    "command", sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands)
)  # type: ignore[union-attr]
def test_help_says_everything_that_was_written_for_it(command):
    """Square brackets, which hold defaults and shapes, are not taken for markup."""
    written = " ".join(
        str(parameter.help)
        for parameter in typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
        if getattr(parameter, "help", None)
    )
    shown = "".join(well(command, "--help").out.split())
    for bracketed in re.findall(r"\[[^]]*\]", written):
        assert "".join(bracketed.split()) in shown


def test_a_seed_below_zero_is_no_seed():
    done = dmh_edge("run", "--engine", "x", "--robot", "fake", "--seed", -1)
    assert (done.code, "--seed" in done.err) == (2, True)


def test_train_goes_on_with_the_settings_that_it_wrote(data, run):
    assert Checkpoint.load(run).header.step == 4
    used = json.loads((run / CONFIG_NAME).read_text())
    assert (used["model"]["width"], used["training"]["updates"]) == (8, 4)
    done = well("train", "darkroom", "--data", data, "--out", run, "--config", run / CONFIG_NAME, "--resume")
    assert "nothing to do: all 4 updates were made before" in done.err


@pytest.mark.parametrize(("tasks", "count"), [("held-out", 16), ("validation", 3), ("training", 62)])
def test_eval_of_a_run_shows_and_keeps_what_it_found(run, tmp_path, tasks, count):
    settings = ("--episodes", 2, "--seeds", 1, "--tasks", tasks, "--out", tmp_path)
    done = well("eval", run, *settings)
    for agent in ("dm-h", "memory zeroed at each episode", "expert", "random", "darkroom, torch"):
        assert agent in done.out
    found = parse(Evaluation, (tmp_path / "evaluation.json").read_text(), "evaluation.json")
    assert len(found.hidden) == count
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_eval_asks_for_validation_tasks_where_there_are_none(data, small, tmp_path):
    run = tmp_path / "run"
    well("train", "darkroom", "--data", data, "--out", run, "--config", small, "--set", "training.updates=1",
         "--set", "data.hold_out=0")  # fmt: skip
    assert "train with --set data.hold_out=10" in refused("eval", run, "--tasks", "validation")


def test_eval_of_an_engine_finds_what_eval_of_its_run_finds(run, copy, tmp_path):
    well("eval", copy / "model.onnx", "--episodes", 1, "--seeds", 1, "--deterministic")
    well("eval", run, "--episodes", 1, "--seeds", 1, "--deterministic", "--out", tmp_path)
    engine, reference = (
        parse(Evaluation, (folder / "evaluation.json").read_text(), "evaluation.json") for folder in (copy, tmp_path)
    )
    assert (engine.backend, reference.backend) == ("ort-cpu", "torch")
    assert engine.curves == reference.curves


def test_export_proves_every_link_and_builds_the_plans(deployed):
    folder, done = deployed
    assert Policy.load(folder).engines().targets == ("sm86",)
    assert "torch step float32" in done.out
    assert "building model.memory.plan" in done.err
    assert f"wrote {folder}: model.json, " in done.err


def test_plans_are_built_in_place_beside_a_policy(copy):
    (copy / NOTE_NAME).unlink()
    before = (copy / "model.json").read_bytes()
    well("export", copy, "--trt", "--trt-target", "sm89", "--trt-target", "sm86")
    assert Policy.load(copy).engines().targets == ("sm89", "sm86")
    assert (copy / "model.json").read_bytes() == before


def test_inspect_shows_what_an_operator_should_know(policy):
    for engine in (policy, policy / "model.plan"):
        out = well("inspect", engine).out
        loaded = Policy.load(policy)
        hashes = [loaded.sha256, *loaded.contract.files.values(), *loaded.engines().plans.values()]
        for wanted in (
            *hashes,
            "darkroom at 50 Hz, episodes of 20 steps",
            "every 5 ticks",
            "for sm86, float32",
            "parity",
        ):
            assert wanted in out, wanted


def test_parity_is_proved_again_also_against_a_run_that_has_moved(policy, run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "moved")
    for where in ((), ("--run", moved)):
        out = well("parity", policy, "--ticks", 30, *where).out
        assert "torch forward float64" in out
        assert "ort-cpu" in out


@pytest.mark.parametrize("robot", ["fake", "gym:darkroom"])
def test_run_drives_a_robot_and_keeps_records(policy, tmp_path, robot):
    out = tmp_path / "records"
    done = well("run", "--engine", policy, "--robot", robot, "--rate", 50, "--ticks", 25, "--out", out)
    assert "lateness" in done.out
    assert done.err.endswith(f"wrote {out}\n")
    summary = parse(Summary, (out / "summary.json").read_text(), "summary.json")
    assert (summary.ticks, summary.stopped_by, summary.rate_hz) == (25, "ticks", 50)
    assert sorted(path.name for path in out.iterdir()) == ["guard.json", "page.html", "run.mcap", "summary.json"]
    assert summary.about == {"robot": robot, "robot options": "{}", "seed": "0", "actions": "sampled"}
    for record in (out / "run.mcap", out):
        replayed = well("replay", record, "--engine", policy)
        assert "ticks 0 to 24" in replayed.out
        assert replayed.err == ""
    assert "holds neither run.mcap nor trace.npz" in refused("replay", tmp_path, "--engine", policy)


def test_a_policy_runs_on_no_robot_for_another_task(policy):
    done = dmh_edge("run", "--engine", policy, "--robot", "gym:key-to-door", "--ticks", 5)
    assert done.code == 1
    assert "task: the robot's is 'key-to-door', the policy's 'darkroom'" in done.err


def test_where_mcap_is_not_installed_a_run_is_kept_as_a_trace_which_replays_as_well(policy, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mcap" else find(name))
    robot = ("--robot", "fake", "--rate", 50, "--ticks", 25)
    well("run", "--engine", policy, *robot, "--out", tmp_path / "out")
    assert Trace.load(tmp_path / "out" / "trace.npz").ticks == 25
    assert "ticks 0 to 24" in well("replay", tmp_path / "out" / "trace.npz", "--engine", policy).out
    (tmp_path / "run.mcap").touch()
    assert 'pip install ".[records]"' in refused("replay", tmp_path / "run.mcap", "--engine", policy)


def test_replay_of_what_does_not_come_out_again_prints_the_table_and_fails(policy, tmp_path):
    trace = Policy.load(policy).golden_trace()
    assert "ticks 0 to" in well("replay", policy / "model.trace.npz", "--engine", policy).out
    trace.outputs["logits"][7] += 1
    trace.save(tmp_path / "trace.npz")
    done = dmh_edge("replay", tmp_path / "trace.npz", "--engine", policy)
    assert done.code == 1
    assert "ticks 0 to" in done.out
    assert "tick 7, tensor logits" in done.err


@pytest.mark.parametrize(("allowed", "code"), [(0.1, running.BUDGET_MISSED), (0.9, 0)])
def test_the_budget_becomes_the_exit_code(policy, tmp_path, monkeypatch, allowed, code):
    (tmp_path / "slow_lab.py").write_text(
        "import time\n"
        "from dmh_edge.robots.fake import FakeRobot\n"
        "from dmh_edge.tasks import darkroom\n"
        "class Slow(FakeRobot):\n"
        "    def __init__(self): super().__init__(darkroom.SPEC, command_timeout_s=9.0)\n"
        "    def read(self):\n"
        "        time.sleep(1.5 / darkroom.SPEC.rate_hz)\n"
        "        return super().read()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    robot = ("--robot", "slow_lab:Slow", "--ticks", 6, "--set", "budget_s=9")
    done = dmh_edge("run", "--engine", policy, *robot, "--max-miss-rate", allowed, "--out", tmp_path / "out")
    assert done.code == code, done.err
    summary = parse(Summary, (tmp_path / "out" / "summary.json").read_text(), "summary.json")
    assert summary.miss_rate == summary.skipped_slots / (summary.slots + summary.skipped_slots) > 0.1
    assert ("more than the 10.0000% that are allowed" in done.err) == (code != 0)


def test_a_live_view_without_a_terminal_is_refused_before_anything_moves(policy, tmp_path):
    said = refused("run", "--engine", policy, "--robot", "fake", "--ticks", 5, "--live", "--out", tmp_path / "out")
    assert "--live needs a terminal" in said
    assert not (tmp_path / "out").exists()


def test_run_in_real_time_and_dry_says_what_it_got_and_that_nothing_was_written(policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    robot = ("--robot", "fake", "--pace", "clock", "--spin-us", 50, "--rate", 50)
    done = well("run", "--engine", policy, *robot, "--ticks", 25, "--dry-run", "--realtime", "try")
    (records,) = (tmp_path / "runs" / "robot").iterdir()
    assert records.name.endswith("-dry-run")
    summary = parse(Summary, (records / "summary.json").read_text(), "summary.json")
    assert summary.dry_run
    assert len(summary.realtime) == 4
    assert all(grant in done.err for grant in summary.realtime)
    assert "dry run: nothing is written to the robot" in done.err
    assert "DRY RUN" in done.out


def test_run_keeps_what_was_learned_and_by_default_writes_under_runs(policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "learned.npz"
    robot = ("--robot", "gym:darkroom", "--robot-option", "hidden=70", "--rate", 200)
    for _ in range(2):
        well(
            "run",
            "--engine",
            policy / "model.onnx",
            *robot,
            "--episodes",
            1,
            "--state",
            state,
            "--deterministic",
            "--out",
            tmp_path / str(state.exists()),
        )
    well("run", "--engine", policy, *robot, "--duration", 0.1)
    (records,) = (tmp_path / "runs" / "robot").iterdir()
    assert (records / "summary.json").exists()
    first, second = (Record.load(tmp_path / name / "run.mcap").stretches[0][1] for name in ("False", "True"))
    assert first.ticks == second.ticks == 20
    assert not first.world["noise"].any()


def test_a_run_that_ends_in_an_error_says_where_its_records_are(policy, tmp_path, monkeypatch):
    (tmp_path / "loose_lab.py").write_text(
        "from dmh_edge.robots.fake import FakeRobot\n"
        "from dmh_edge.tasks import darkroom\n"
        "class Loose(FakeRobot):\n"
        "    def __init__(self): super().__init__(darkroom.SPEC); self.reads = 0\n"
        "    def read(self):\n"
        "        self.reads += 1\n"
        "        if self.reads > 5: raise OSError('unplugged')\n"
        "        return super().read()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = ("run", "--engine", policy, "--robot", "loose_lab:Loose", "--ticks", 50, "--out", tmp_path / "out")
    done = dmh_edge(*run)
    assert done.code == 1
    assert f"wrote {tmp_path / 'out'}\n" in done.err
    assert "unplugged" in done.err
    assert "wrote" not in dmh_edge(*run).err  # refused: what lies there is another run's


def test_two_runs_that_begin_in_one_second_are_two(policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    for number in (7, 8):
        monkeypatch.setattr("os.getpid", lambda number=number: number)
        well("run", "--engine", policy, "--robot", "gym:darkroom", "--rate", 200, "--ticks", 5)
    names = sorted(path.name for path in (tmp_path / "runs" / "robot").iterdir())
    assert names == ["20260102-030405-7", "20260102-030405-8"]


def test_a_run_that_the_guard_ends_has_an_exit_code_of_its_own(policy, tmp_path, monkeypatch):
    (tmp_path / "blind_lab.py").write_text(
        "import dataclasses\n"
        "import numpy as np\n"
        "from dmh_edge.robots.fake import FakeRobot\n"
        "from dmh_edge.tasks import darkroom\n"
        "class Blind(FakeRobot):\n"
        "    def __init__(self, from_read): super().__init__(darkroom.SPEC); self.reads, self.limit = 0, from_read\n"
        "    def read(self):\n"
        "        reading, self.reads = super().read(), self.reads + 1\n"
        "        blind = np.full_like(reading.observation, np.nan)\n"
        "        return dataclasses.replace(reading, observation=blind) if self.reads > self.limit else reading\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    robot = ("--robot", "blind_lab:Blind", "--robot-option", "from_read=5")
    done = dmh_edge("run", "--engine", policy, *robot, "--ticks", 500, "--out", tmp_path / "out")
    assert done.code == running.GUARD_STOPPED == 3
    summary = parse(Summary, (tmp_path / "out" / "summary.json").read_text(), "summary.json")
    assert summary.stopped_by == "guard"
    assert summary.ticks < 100


@pytest.fixture
def real_robot(tmp_path, monkeypatch) -> str:
    """A robot that says that it can hurt somebody."""
    (tmp_path / "real_lab.py").write_text(
        "from dmh_edge.robots.fake import FakeRobot\n"
        "from dmh_edge.tasks import darkroom\n"
        "class Real(FakeRobot):\n"
        "    simulated = False\n"
        "    def __init__(self): super().__init__(darkroom.SPEC)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "real_lab:Real"


def test_a_real_robot_is_armed_by_somebody_or_not_at_all(policy, tmp_path, real_robot):
    command = ("run", "--engine", policy, "--robot", real_robot, "--ticks", 5, "--out")
    assert "nobody may arm this robot" in refused(*command, tmp_path / "refused")
    assert not (tmp_path / "refused" / "summary.json").exists()
    well(*command, tmp_path / "armed", "--arm")
    summary = parse(Summary, (tmp_path / "armed" / "summary.json").read_text(), "summary.json")
    assert [event.what for event in summary.events][:3] == ["self-tested", "connected", "armed"]


def test_a_robots_guard_file_is_changed_by_single_settings_and_kept_with_the_run(policy, tmp_path):
    (tmp_path / "arm.json").write_text('{"late_slots": 4, "late": "stop"}')
    run = ("run", "--engine", policy, "--robot", "gym:darkroom", "--rate", 200, "--ticks", 5)
    well(*run, "--out", tmp_path / "a", "--guard", tmp_path / "arm.json", "--set", "late_slots=9", "--ramp-s", 0)
    used = load_guard(tmp_path / "a" / "guard.json")
    assert (used.late_slots, used.late, used.ramp_s) == (9, "stop", 0)
    well(*run, "--out", tmp_path / "b", "--guard", tmp_path / "a" / "guard.json")


def test_settings_of_a_run_that_do_not_fit_are_refused_before_anything_moves(policy, tmp_path):
    out = tmp_path / "out"
    run = ("run", "--engine", policy, "--robot", "gym:darkroom", "--ticks", 5, "--out", out)
    assert "did you mean 'late_slots'" in refused(*run, "--set", "late_slot=3")
    assert "actions in discrete mode allow only: safe, stop" in refused(*run, "--set", "late=hold")
    assert "choices cannot be ramped" in refused(*run, "--ramp-s", 1)
    assert "there is no terminal" in refused(*run, "--deadman", 1)
    assert "--forget without --state" in refused(*run, "--forget")
    assert not out.exists()


def test_a_plan_without_its_gpu_is_one_sentence_and_nothing_moves(policy, tmp_path, monkeypatch):
    """The plan is for sm86: wherever there is no such GPU, no robot is even looked for."""
    asked = []
    monkeypatch.setattr("dmh_edge.robots.find.find_robot", lambda *arguments, **_: asked.append(arguments))
    said = refused("run", "--engine", policy / "model.plan", "--robot", "fake", "--ticks", 5, "--out", tmp_path / "out")
    assert "GPU" in said or "CUDA" in said
    assert asked == []
    assert not (tmp_path / "out").exists()


def altered(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("command", ["run", "inspect", "parity", "eval", "export"])
def test_an_altered_engine_is_refused_by_every_command(copy, command):
    altered(copy / "model.memory.onnx")
    arguments: dict[str, tuple[Any, ...]] = {
        "run": ("--engine", copy, "--robot", "fake", "--ticks", 5, "--out", copy.parent / "out"),
        "export": (copy, "--trt"),
    }
    assert "model.memory.onnx" in refused(command, *arguments.get(command, (copy,)))


def test_an_altered_plan_is_refused_before_it_is_opened(copy):
    altered(copy / "model.plan")
    assert "model.plan" in refused("inspect", copy)
    assert "model.plan" in refused("run", "--engine", copy / "model.plan", "--robot", "fake", "--ticks", 5)


def test_unknown_names_are_refused_with_the_nearest_known_one(data, run, policy, small, tmp_path):
    assert "'darkrom' (did you mean 'darkroom'?)" in refused("data", "darkrom", "--out", tmp_path / "x")
    train = ("train", "darkroom", "--data", data, "--out", tmp_path / "x", "--config", small)
    assert "holds data of task 'darkroom', but 'darkrom' was asked for" in refused("train", "darkrom", *train[2:])
    assert "did you mean 'darkroom'" in refused("train", "darkrom", "--out", tmp_path / "x")
    assert "did you mean 'dm-h'" in refused("train", "darkroom", "--out", tmp_path / "x", "--model", "dmh")
    assert "model.widht: unknown field 'widht' (did you mean 'width'?)" in refused(*train, "--set", "model.widht=4")
    assert "unknown robot 'fakee' (did you mean 'fake'?)" in refused(
        "run", "--engine", policy, "--robot", "fakee", "--ticks", 1, "--out", tmp_path / "x"
    )
    assert "did you mean 'ort-cpu'" in refused("eval", policy, "--backend", "ort-cpuu")
    assert "--backend ort-cpu runs exported policies" in refused("eval", run, "--backend", "ort-cpu")
    assert not (tmp_path / "x").exists()


def test_what_is_missing_is_named(data, policy, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert str(nowhere) in refused("train", "darkroom", "--data", nowhere, "--out", tmp_path / "x")
    assert str(nowhere) in refused("export", nowhere, "--out", tmp_path / "x")
    assert str(nowhere) in refused("parity", policy, "--run", nowhere)
    for command in (("eval",), ("inspect",), ("parity",), ("run", "--robot", "fake", "--engine")):
        assert str(nowhere) in refused(*command, nowhere)
    assert not (tmp_path / "x").exists()


def test_settings_of_an_export_that_do_not_fit_are_refused(run, policy, tmp_path):
    out = tmp_path / "x"
    assert "--trt-target without --trt" in refused("export", run, "--trt-target", "sm89", "--out", out)
    assert "'sm1'" in refused("export", policy, "--trt", "--trt-target", "sm1")
    assert "--out" in refused("export", run)
    assert "exported already" in refused("export", policy)
    assert "exported already" in refused("export", policy, "--trt", "--out", out)
    done = dmh_edge("export", run, "--out", out, "--precision", "int8")
    assert done.code == 2
    assert "'float32', 'float16'" in done.err
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_named(data, small, run, policy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "x"
    short = ("--histories", 1, "--episodes", 1)
    assert str(out) in refused("data", "darkroom", "--out", out, *short)
    assert str(out) in refused("train", "darkroom", "--data", data, "--out", out, "--config", small)
    assert str(out) in refused("eval", run, "--episodes", 1, "--seeds", 1, "--out", out)
    assert str(out) in refused("run", "--engine", policy, "--robot", "fake", "--ticks", 1, "--out", out)


@pytest.mark.parametrize("option", ["hidden", "=3"])
def test_an_option_of_the_robot_needs_name_and_value(policy, option):
    said = refused("run", "--engine", policy, "--robot", "gym:darkroom", "--ticks", 1, "--robot-option", option)
    assert "expected NAME=VALUE" in said


def test_a_missing_extra_is_one_sentence_with_the_command_that_brings_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused("train", "darkroom", "--data", data, "--out", tmp_path / "x")
    assert (
        said == 'error: training needs torch, which is not installed: pip install ".[train]" in the source of dmh-edge'
    )


def test_ctrl_c_leaves_without_a_traceback(tmp_path, monkeypatch):
    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dmh_edge.data.generate.generate", interrupted)
    done = dmh_edge("data", "darkroom", "--out", tmp_path / "x")
    assert (done.code, "Traceback" in done.err) == (130, False)


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("dmh_edge.data.generate.generate", lambda *_: 1 / 0)
    argv = mock.patch.object(sys, "argv", ["dmh-edge", "data", "darkroom", "--out", str(tmp_path / "x")])
    with argv, pytest.raises(ZeroDivisionError):
        cli.main()
