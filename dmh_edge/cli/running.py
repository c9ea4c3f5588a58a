"""Commands for the operator of a robot: ``run``, ``replay``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from dmh_edge.cli.app import app, backend_option, realtime_option, spin_option
from dmh_edge.clock import PacedBy
from dmh_edge.errors import ConfigError
from dmh_edge.extras import is_installed, require
from dmh_edge.runtime.realtime import RealTime

GUARD_STOPPED = 3
BUDGET_MISSED = 4

_POLICY, _ROBOT, _END = "Policy", "Robot", "When the run ends"
_SAFETY, _TIME, _RECORDS = "Arming and guard", "Time", "What is kept"

Engine = Annotated[
    Path,
    typer.Option(
        metavar="POLICY",
        help="The policy to run: its folder, or an .onnx or .plan file in it. The folder means the ONNX files.",
        rich_help_panel=_POLICY,
    ),
]
Backend = Annotated[str | None, backend_option(_POLICY)]


@app.command()
def run(
    engine: Engine,
    robot: Annotated[
        str,
        typer.Option(
            metavar="ROBOT",
            help="fake, gym:ID or mujoco:ID for a simulated robot, or package.module:Class for your own driver.",
            rich_help_panel=_ROBOT,
        ),
    ],
    robot_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=JSON",
            help="Set a parameter of the robot, e.g. hidden=14. May be given several times.",
            rich_help_panel=_ROBOT,
        ),
    ] = None,
    backend: Backend = None,
    plan_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar="DMH_EDGE_PLAN_CACHE",
            help="Run TensorRT plans from this folder; they are built at the first start and kept there.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Begin with the in-context memory in this file, if it exists, and write the memory to it at the end.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Begin with an empty memory even if the --state file exists.", rich_help_panel=_POLICY
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Seed of the exploration noise and of the random draws of a simulated robot.",
            rich_help_panel=_POLICY,
        ),
    ] = 0,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", help="Take the likeliest action at every step, without noise.", rich_help_panel=_POLICY
        ),
    ] = False,
    ticks: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="End after this many steps of the policy.", rich_help_panel=_END),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="End after this many episodes.", rich_help_panel=_END)
    ] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End after this many seconds.", rich_help_panel=_END)
    ] = None,
    max_miss_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Exit with code 4 if a larger share of the slots than this, from 0 to 1, was missed.",
            rich_help_panel=_END,
        ),
    ] = None,
    arm: Annotated[
        bool,
        typer.Option(
            "--arm",
            help="Arm without asking. Without this option, a robot that is not simulated waits for the key a.",
            rich_help_panel=_SAFETY,
        ),
    ] = False,
    attended: Annotated[
        bool,
        typer.Option(
            "--attended",
            help="Confirm that you stand by to stop a robot that nothing else would stop.",
            rich_help_panel=_SAFETY,
        ),
    ] = False,
    guard: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Read this robot's guard settings from a JSON file.", rich_help_panel=_SAFETY
        ),
    ] = None,
    set: Annotated[  # noqa: A002 (the option's name)
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Set one guard setting, in place of the one in --guard, e.g. late_slots=5, ramp_s=2 (seconds of "
            "ramp-in after arming) or deadman_s=10 (stop if Enter is not pressed for 10 seconds). May be given several "
            "times.",
            rich_help_panel=_SAFETY,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Do everything except write actions; a real robot is never armed.",
            rich_help_panel=_SAFETY,
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="HZ", help="Control rate in Hz. Default: the rate in the policy's contract.", rich_help_panel=_TIME
        ),
    ] = None,
    pace: Annotated[
        PacedBy,
        typer.Option(
            help="What begins a slot: the clock, or the robot, whose read() blocks until it has measured again.",
            rich_help_panel=_TIME,
        ),
    ] = "clock",
    realtime: Annotated[RealTime, realtime_option(_TIME)] = "off",
    spin_us: Annotated[float, spin_option(_TIME)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the run's records and page to this folder. Default: runs/robot/TIME-PROCESS.",
            rich_help_panel=_RECORDS,
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Show the state of the run on the terminal.", rich_help_panel=_RECORDS)
    ] = False,
) -> None:
    """Run a policy on a robot at a fixed rate. Ctrl-C, or any key except e and Enter, stops it and keeps the records.

    With the extra `records`, the ticks are written to run.mcap during the run; without it, to trace.npz at its end.
    """
    # Set before numpy is imported: its BLAS takes 40 MB per core, which the loop does not need and may lock in memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dmh_edge import console
    from dmh_edge.clock import MonotonicClock
    from dmh_edge.robots.find import find_robot
    from dmh_edge.runtime.guard.guard_settings import load_guard
    from dmh_edge.runtime.loop.limits import Limits
    from dmh_edge.runtime.loop.pace import Timing
    from dmh_edge.runtime.operate import Run, operate
    from dmh_edge.runtime.operator.attendance import Attendance
    from dmh_edge.runtime.operator.terminal import Terminal
    from dmh_edge.runtime.records.run_records import Keeping
    from dmh_edge.runtime.report.summary import SUMMARY_NAME
    from dmh_edge.runtime.sessions.engine import open_session
    from dmh_edge.runtime.sessions.state_file import Learned
    from dmh_edge.settings import parse_setting

    if live and not sys.stderr.isatty():
        raise ConfigError("--live needs a terminal on standard error; page.html shows the run when it is over")
    options = dict(parse_setting(text, "--robot-option", "hidden=3") for text in robot_option or ())
    # The process number is part of the name, so that two runs that start in the same second have two folders.
    folder = out or Path("runs", "robot", time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}" + "-dry-run" * dry_run)
    about = {
        "robot": robot,
        "robot options": json.dumps(options),
        "seed": str(seed),
        "actions": "the likeliest" if deterministic else "sampled",
    }
    settings = Run(
        limits=Limits(ticks, episodes, duration),
        timing=Timing(rate, pace, realtime, MonotonicClock(spin_ns=round(spin_us * 1000))),
        learned=Learned(state, forget),
        keeping=Keeping(folder, mcap=is_installed("mcap", "google.protobuf"), live=live, about=about),
        attendance=Attendance(terminal=Terminal.of_stdin(console.say), armed=arm, attended=attended),
        guard=load_guard(guard, set or ()),
        noise_seed=None if deterministic else seed,
        dry_run=dry_run,
        say=console.say,
    )
    if plan_cache is not None and backend in (None, "tensorrt"):
        from dmh_edge.export.plan_cache import cached_plan

        engine, backend = cached_plan(engine, plan_cache, console.say), None
    policy, session = open_session(engine, backend)
    held_before = (folder / SUMMARY_NAME).exists()
    try:
        machine = find_robot(robot, task=policy.contract.task, options=options, seed=seed)
        summary = operate(policy, session, machine, settings)
        console.out.print(summary.table())
    finally:
        session.close()
        if not held_before and (folder / SUMMARY_NAME).exists():  # no records are kept if the robot was never armed
            console.say(f"wrote {folder}")
    if summary.stopped_by in ("guard", "watchdog"):
        raise typer.Exit(GUARD_STOPPED)
    if max_miss_rate is not None and summary.miss_rate > max_miss_rate:
        console.say(f"missed {summary.miss_rate:.4%} of the slots, more than the {max_miss_rate:.4%} that are allowed")
        raise typer.Exit(BUDGET_MISSED)


@app.command()
def replay(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD",
            help="The record to replay: the folder of a robot's run, its run.mcap or trace.npz, or a golden trace.",
        ),
    ],
    engine: Engine,
    backend: Backend = None,
) -> None:
    """Feed the recorded inputs of a run to a backend again, and compare its outputs with the recorded ones.

    Every stretch of the record without a gap is compared.
    """
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
