"""SIGKILL of a run: a process of its own dies at a random moment, and nothing half-written is accepted later."""

from __future__ import annotations

import random
import time
from multiprocessing import get_context
from pathlib import Path

from dmh_edge.clock import FakeClock
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.pace import Timing
from dmh_edge.runtime.operate import Run, operate
from dmh_edge.runtime.records.run_records import TRACE_NAME, Keeping
from dmh_edge.runtime.report.summary import SUMMARY_NAME, Summary
from dmh_edge.runtime.sessions.fake_session import FakePolicy, FakeSession, fake_contract
from dmh_edge.runtime.sessions.state_file import Learned, load_state
from dmh_edge.schema import parse
from dmh_edge.trace import Trace
from waiting import PATIENCE_S

TICKS = 300
CONTRACT = fake_contract(TWO_JOINTS)


def run(out: Path, state: Path) -> None:
    """Some ticks, from what was learned before."""
    clock = FakeClock()
    options = Run(
        limits=Limits(ticks=TICKS),
        timing=Timing(clock=clock),
        learned=Learned(state),
        keeping=Keeping(out),
        noise_seed=0,
    )
    operate(FakePolicy("policy"), FakeSession(CONTRACT, 1), FakeRobot(clock=clock), options)


def test_killed_at_any_moment_a_run_leaves_whole_records_or_none(tmp_path: Path) -> None:
    context = get_context("fork")
    state = tmp_path / "learned.npz"
    started = time.monotonic()
    whole = context.Process(target=run, args=(tmp_path / "whole", state))
    whole.start()
    whole.join(PATIENCE_S)
    duration_s = time.monotonic() - started
    assert whole.exitcode == 0
    moments, finished = random.Random(0), 0
    for number in range(20):
        out = tmp_path / f"run{number}"
        process = context.Process(target=run, args=(out, state))
        process.start()
        process.join(moments.uniform(0, duration_s))
        process.kill()
        process.join(PATIENCE_S)
        finished += process.exitcode == 0
        load_state(state, FakeSession(CONTRACT, 1), "policy")  # the old one or the new one, and whole
        if (out / TRACE_NAME).exists():
            assert Trace.load(out / TRACE_NAME).ticks == TICKS
        if (out / SUMMARY_NAME).exists():
            assert parse(Summary, (out / SUMMARY_NAME).read_text(), "summary").ticks == TICKS
    assert finished < 20
