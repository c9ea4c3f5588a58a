"""Commands of whoever operates a robot: ``run``, ``replay``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge.cli.app import Seed, app, is_installed, require
from dmh_edge.errors import ConfigError

GUARD_STOPPED = 3
BUDGET_MISSED = 4


@app.command()
def run(
    engine: Annotated[Path, typer.Option(help="A policy's folder (ONNX), an .onnx file, or a .plan file.")],
    robot: Annotated[str, typer.Option(help="fake, gym:<id>, mujoco:<id>, or package.module:Class.")],
    robot_option: Annotated[list[str] | None, typer.Option(help="NAME=JSON for the robot; repeatable.")] = None,
    backend: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or tensorrt; else by the suffix.")] = None,
    rate: Annotated[float | None, typer.Option(help="Control rate in Hz; the contract's if not said.")] = None,
    ticks: Annotated[int | None, typer.Option(help="End after so many steps of the policy.")] = None,
    episodes: Annotated[int | None, typer.Option(help="End after so many episodes.")] = None,
    duration: Annotated[float | None, typer.Option(help="End after so many seconds.")] = None,
    seed: Seed = 0,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="No noise: the likeliest action.")] = False,
    state: Annotated[Path | None, typer.Option(help="File with what was learned in context: read, then kept.")] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Begin with an empty memory although --state exists.")
    ] = False,
    arm: Annotated[
        bool, typer.Option("--arm", help="Arm without asking; else a key does, on robots not simulated.")
    ] = False,
    ramp_s: Annotated[
        float | None, typer.Option(help="Seconds of ramp-in after arming [1; 0 where simulated]; as --set ramp_s=.")
    ] = None,
    deadman: Annotated[
        float | None, typer.Option(help="Stop when nobody hits Enter for so many seconds; as --set deadman_s=.")
    ] = None,
    guard: Annotated[Path | None, typer.Option(help="JSON file with this robot's guard settings.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One guard setting over the file's: late_slots=5.")] = None,  # noqa: A002
    attended: Annotated[
        bool, typer.Option("--attended", help="You stand by to stop a robot that nothing else would stop.")
    ] = False,
    realtime: Annotated[
        Literal["off", "try", "require"],
        typer.Option(help="Priority, core and memory for the loop: none, what can be had, or all or no start."),
    ] = "off",
    spin_us: Annotated[
        float, typer.Option(min=0, max=500, help="Watch the time so long before a slot, instead of sleeping.")
    ] = 0,
    pace: Annotated[
        Literal["clock", "robot"], typer.Option(help="Who begins a slot; robot: its read blocks until it has measured.")
    ] = "clock",
    plan_cache: Annotated[
        Path | None,
        typer.Option(
            envvar="DMH_EDGE_PLAN_CACHE",
            help="Run TensorRT plans from this folder; built at the first start, and kept.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but write; a real robot is never armed.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run's records and page [runs/robot/TIME-PID].")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Show on the terminal how it goes.")] = False,
    max_miss_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 4 where a larger share of the slots was missed.")
    ] = None,
) -> None:
    """Run a policy on a robot at a fixed rate. Ctrl-C, or any key but e and Enter, stops it and keeps the records.

    With the extra `records` the ticks are kept as run.mcap while the run lasts; without it as trace.npz at its end.
    """
    # Before numpy is imported: its BLAS has 40 MB for every core, and a loop, which needs none of it, may lock that.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dmh_edge import console
    from dmh_edge.clock import MonotonicClock
    from dmh_edge.robots.find import find_robot
    from dmh_edge.runtime.guard.guard_settings import load_guard
    from dmh_edge.runtime.loop.limits import Limits
    from dmh_edge.runtime.operate import SUMMARY_NAME, operate
    from dmh_edge.runtime.operator.terminal import Terminal
    from dmh_edge.runtime.sessions.engine import open_session
    from dmh_edge.runtime.sessions.replay import SELF_TEST_TICKS, replay
    from dmh_edge.settings import parse_setting

    flags = {"ramp_s": ramp_s, "deadman_s": deadman}
    settings = [*(set or ()), *(f"{name}={value}" for name, value in flags.items() if value is not None)]
    guard_settings = load_guard(guard, settings)
    if live and not sys.stderr.isatty():
        raise ConfigError("--live needs a terminal on standard error; page.html shows the run when it is over")
    options = dict(parse_setting(text, "--robot-option", "hidden=3") for text in robot_option or ())
    limits = Limits(ticks, episodes, duration)
    if plan_cache is not None and backend in (None, "tensorrt"):
        from dmh_edge.export.plan_cache import cached_plan

        engine, backend = cached_plan(engine, plan_cache, console.say), None
    policy, session = open_session(engine, backend)
    # With the process's number: two that are started in one second are two runs.
    records = out or Path("runs", "robot", time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}" + "-dry-run" * dry_run)
    held_before = (records / SUMMARY_NAME).exists()
    try:
        machine = find_robot(robot, task=policy.contract.task, options=options, seed=seed)
        summary = operate(
            session,
            machine,
            policy_sha256=policy.sha256,
            self_test=lambda: replay(policy.golden_trace(), session, SELF_TEST_TICKS).require(),
            limits=limits,
            rate_hz=rate,
            noise_seed=None if deterministic else seed,
            state=state,
            out=records,
            guard=guard_settings,
            armed=arm,
            forget=forget,
            terminal=Terminal.of_stdin(console.say),
            attended=attended,
            clock=MonotonicClock(spin_ns=round(spin_us * 1000)),
            pace=pace,
            realtime=realtime,
            dry_run=dry_run,
            say=console.say,
            mcap=is_installed("mcap", "google.protobuf"),
            live=live,
            about={
                "robot": robot,
                "robot options": json.dumps(options),
                "seed": str(seed),
                "actions": "the likeliest" if deterministic else "sampled",
            },
        )
        console.out.print(summary.table())
    finally:
        session.close()
        if not held_before and (records / SUMMARY_NAME).exists():  # nothing is kept of a robot that was never armed
            console.say(f"wrote {records}")
    if summary.stopped_by in ("guard", "watchdog"):
        raise typer.Exit(GUARD_STOPPED)
    if max_miss_rate is not None and summary.miss_rate > max_miss_rate:
        console.say(f"missed {summary.miss_rate:.4%} of the slots, more than the {max_miss_rate:.4%} that are allowed")
        raise typer.Exit(BUDGET_MISSED)


@app.command()
def replay(
    record: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, its run.mcap or trace.npz, or a golden trace.")
    ],
    engine: Annotated[Path, typer.Option(help="A policy's folder (ONNX), an .onnx file, or a .plan file.")],
    backend: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or tensorrt; else by the suffix.")] = None,
) -> None:
    """Feed a backend what a run fed its own, and compare what comes out: every stretch of the record without a gap."""
    from dmh_edge.runtime.records.record import record_in

    record = record_in(record)
    if record.suffix == ".mcap":
        require("reading run.mcap", "records", "mcap", "google.protobuf")
    from dmh_edge import console
    from dmh_edge.runtime.records.record import Record
    from dmh_edge.runtime.sessions.engine import open_session

    recording = Record.load(record)
    _, session = open_session(engine, backend, recording.batch)
    try:
        comparisons = recording.replay(session)
    finally:
        session.close()
    console.out.print(console.parity_table([comparison.figure() for comparison in comparisons]))
    if recording.note:
        console.say(recording.note)
    for comparison in comparisons:
        comparison.require()
