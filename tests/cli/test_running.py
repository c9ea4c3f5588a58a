"""`run` and `replay` with a small Darkroom policy."""

from __future__ import annotations

import importlib.util
import os
from unittest import mock

import pytest

from dmh_edge.cli import running
from dmh_edge.runtime.guard.guard_settings import load_guard
from dmh_edge.runtime.records.record import Record
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.schema import parse
from dmh_edge.trace import Trace


def test_a_seed_below_zero_is_no_seed(dmh_edge):
    done = dmh_edge("run", "--engine", "x", "--robot", "fake", "--seed", -1)
    assert (done.code, "--seed" in done.err) == (2, True)


@pytest.mark.parametrize("robot", ["fake", "gym:darkroom"])
def test_run_drives_a_robot_and_keeps_records(well, refused, policy, tmp_path, robot):
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
    assert "contains neither run.mcap nor trace.npz" in refused("replay", tmp_path, "--engine", policy)


def test_a_policy_runs_on_no_robot_for_another_task(dmh_edge, policy):
    done = dmh_edge("run", "--engine", policy, "--robot", "gym:key-to-door", "--ticks", 5)
    assert done.code == 1
    assert "task: the robot's is 'key-to-door', the policy's 'darkroom'" in done.err


def test_where_mcap_is_not_installed_a_run_is_kept_as_a_trace_which_replays_as_well(
    well, refused, policy, tmp_path, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mcap" else find(name))
    robot = ("--robot", "fake", "--rate", 50, "--ticks", 25)
    well("run", "--engine", policy, *robot, "--out", tmp_path / "out")
    assert Trace.load(tmp_path / "out" / "trace.npz").ticks == 25
    assert "ticks 0 to 24" in well("replay", tmp_path / "out" / "trace.npz", "--engine", policy).out
    (tmp_path / "run.mcap").touch()
    assert 'pip install ".[records]"' in refused("replay", tmp_path / "run.mcap", "--engine", policy)


def test_replay_of_what_does_not_come_out_again_prints_the_table_and_fails(dmh_edge, well, policy, tmp_path):
    trace = Policy.load(policy).golden_trace()
    assert "ticks 0 to" in well("replay", policy / "model.trace.npz", "--engine", policy).out
    trace.outputs["logits"][7] += 1
    trace.save(tmp_path / "trace.npz")
    done = dmh_edge("replay", tmp_path / "trace.npz", "--engine", policy)
    assert done.code == 1
    assert "ticks 0 to" in done.out
    assert "tick 7, tensor logits" in done.err


@pytest.mark.parametrize(("allowed", "code"), [(0.1, running.BUDGET_MISSED), (0.9, 0)])
def test_the_budget_becomes_the_exit_code(dmh_edge, policy, tmp_path, monkeypatch, allowed, code):
    (tmp_path / "slow_lab.py").write_text(
        "import time\n"
        "from dmh_edge.robots.fake_robot import FakeRobot\n"
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


def test_a_live_view_without_a_terminal_is_refused_before_anything_moves(refused, policy, tmp_path):
    said = refused("run", "--engine", policy, "--robot", "fake", "--ticks", 5, "--live", "--out", tmp_path / "out")
    assert "--live needs a terminal" in said
    assert not (tmp_path / "out").exists()


def test_run_in_real_time_and_dry_says_what_it_got_and_that_nothing_was_written(well, policy, tmp_path, monkeypatch):
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


def test_run_keeps_what_was_learned_and_by_default_writes_under_runs(well, policy, tmp_path, monkeypatch):
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


def test_a_run_that_ends_in_an_error_says_where_its_records_are(dmh_edge, policy, tmp_path, monkeypatch):
    (tmp_path / "loose_lab.py").write_text(
        "from dmh_edge.robots.fake_robot import FakeRobot\n"
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


def test_two_runs_that_begin_in_one_second_are_two(well, policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    for number in (7, 8):
        monkeypatch.setattr(running, "os", mock.Mock(wraps=os, **{"getpid.return_value": number}))
        well("run", "--engine", policy, "--robot", "gym:darkroom", "--rate", 200, "--ticks", 5)
    names = sorted(path.name for path in (tmp_path / "runs" / "robot").iterdir())
    assert names == ["20260102-030405-7", "20260102-030405-8"]


def test_a_run_that_the_guard_ends_has_an_exit_code_of_its_own(dmh_edge, policy, tmp_path, monkeypatch):
    (tmp_path / "blind_lab.py").write_text(
        "import dataclasses\n"
        "import numpy as np\n"
        "from dmh_edge.robots.fake_robot import FakeRobot\n"
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
        "from dmh_edge.robots.fake_robot import FakeRobot\n"
        "from dmh_edge.tasks import darkroom\n"
        "class Real(FakeRobot):\n"
        "    simulated = False\n"
        "    def __init__(self): super().__init__(darkroom.SPEC)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "real_lab:Real"


def test_a_real_robot_is_armed_by_somebody_or_not_at_all(well, refused, policy, tmp_path, real_robot):
    command = ("run", "--engine", policy, "--robot", real_robot, "--ticks", 5, "--out")
    assert "no person can arm this robot" in refused(*command, tmp_path / "refused")
    assert not (tmp_path / "refused" / "summary.json").exists()
    well(*command, tmp_path / "armed", "--arm")
    summary = parse(Summary, (tmp_path / "armed" / "summary.json").read_text(), "summary.json")
    assert [event.what for event in summary.events][:3] == ["self-tested", "connected", "armed"]


def test_a_robots_guard_file_is_changed_by_single_settings_and_kept_with_the_run(well, policy, tmp_path):
    (tmp_path / "arm.json").write_text('{"late_slots": 4, "late": "stop"}')
    run = ("run", "--engine", policy, "--robot", "gym:darkroom", "--rate", 200, "--ticks", 5)
    well(*run, "--out", tmp_path / "a", "--guard", tmp_path / "arm.json", "--set", "late_slots=9", "--set", "ramp_s=0")
    used = load_guard(tmp_path / "a" / "guard.json")
    assert (used.late_slots, used.late, used.ramp_s) == (9, "stop", 0)
    well(*run, "--out", tmp_path / "b", "--guard", tmp_path / "a" / "guard.json")


def test_settings_of_a_run_that_do_not_fit_are_refused_before_anything_moves(refused, policy, tmp_path):
    out = tmp_path / "out"
    run = ("run", "--engine", policy, "--robot", "gym:darkroom", "--ticks", 5, "--out", out)
    assert "did you mean 'late_slots'" in refused(*run, "--set", "late_slot=3")
    assert "actions in discrete mode allow only: safe, stop" in refused(*run, "--set", "late=hold")
    assert "choices cannot be ramped" in refused(*run, "--set", "ramp_s=1")
    assert "there is no terminal" in refused(*run, "--set", "deadman_s=1")
    assert "--forget without --state" in refused(*run, "--forget")
    assert not out.exists()


def test_a_plan_without_its_gpu_is_one_sentence_and_nothing_moves(refused, policy, tmp_path, monkeypatch):
    """The plan is for sm86: wherever there is no such GPU, no robot is even looked for."""
    asked = []
    monkeypatch.setattr("dmh_edge.robots.find.find_robot", lambda *arguments, **_: asked.append(arguments))
    said = refused("run", "--engine", policy / "model.plan", "--robot", "fake", "--ticks", 5, "--out", tmp_path / "out")
    assert "GPU" in said or "CUDA" in said
    assert asked == []
    assert not (tmp_path / "out").exists()


def test_an_altered_plan_is_refused_before_it_is_opened(refused, altered, copy):
    altered(copy / "model.plan")
    assert "model.plan" in refused("inspect", copy)
    assert "model.plan" in refused("run", "--engine", copy / "model.plan", "--robot", "fake", "--ticks", 5)


@pytest.mark.parametrize("option", ["hidden", "=3"])
def test_an_option_of_the_robot_needs_name_and_value(refused, policy, option):
    said = refused("run", "--engine", policy, "--robot", "gym:darkroom", "--ticks", 1, "--robot-option", option)
    assert "expected NAME=VALUE" in said
