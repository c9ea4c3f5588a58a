"""The command line: ``dmh-edge data | train | eval | export | inspect | parity | run | replay | bench | study``.

Commands parse, compose and print. Whatever is heavy is imported inside the command that needs it, so that ``--help``
is quick and a robot without torch can run everything that a robot needs.

Exit codes: 0 well, 1 an error that was foreseen, 2 a command line that cannot be parsed, 3 a run that the guard ended,
4 a run that missed more of its slots than --max-miss-rate allows.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dmh_edge import __version__
from dmh_edge.errors import ConfigError, DmhEdgeError, MissingExtraError

if TYPE_CHECKING:
    from dmh_edge.contract import TaskSpec
    from dmh_edge.runtime.session import Session

app = typer.Typer(
    name="dmh-edge",
    help="Decision Mamba-Hybrid policies, from training to a robot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

bench = typer.Typer(help="Measure what things cost on this machine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

GUARD_STOPPED = 3
BUDGET_MISSED = 4

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="[large-]darkroom, [large-]darkroom-hard, [large-]darkroom-dynamic, [large-]key-to-door, tmaze-LENGTH "
        "(1000 if not said), dark-reacher or dark-payload.",
    ),
]
ModelName = Annotated[
    str | None, typer.Option(help="dm-h, dm, dt, ad-transformer, ad-mamba or bc [that of --config, or dm-h].")
]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


def main() -> None:
    """Run the command line; errors that were foreseen become one sentence and exit code 1."""
    try:
        app()
    except DmhEdgeError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"dmh-edge {__version__}")
        raise typer.Exit


@app.command()
def data(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="Folder of the data set; an old one is replaced.")],
    histories: Annotated[int | None, typer.Option(help="Learning histories per hidden task.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Episodes per history, from random to expert.")] = None,
    seed: Seed = 0,
) -> None:
    """Record learning histories of a scripted expert as a Minari data set."""
    from dmh_edge import console, tasks
    from dmh_edge.data.generate import generate

    found = tasks.find(task)
    with console.bars() as told:
        generate(found, out, histories, episodes, seed, lambda done, total: told("episodes", done, total))
    console.say(f"wrote {out}")


@app.command()
def train(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Data set made by `dmh-edge data`, or any Minari data set of the task [made in memory]."),
    ] = None,
    model: ModelName = None,
    config: Annotated[Path | None, typer.Option(help="JSON file with settings over the preset's.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting over all others: model.width=64.")] = None,  # noqa: A002
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train a policy from data."""
    _require("training", "train", "torch", "safetensors", "minari", "tensorboard")
    from dmh_edge import config as settings
    from dmh_edge.train import train as fit

    fit(settings.load(task, model, config, set or ()), data, out, resume=resume)


@app.command(name="eval")
def evaluate(
    policy: Annotated[Path, typer.Argument(metavar="RUN|ENGINE", help="A run, or a policy's folder or engine file.")],
    episodes: Annotated[int, typer.Option(min=1, help="In a row on each hidden task.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Passes over all tasks.")] = 3,
    tasks: Annotated[
        Literal["held-out", "validation", "training"],
        typer.Option(help="Which hidden tasks; validation: those that data.hold_out kept from training."),
    ] = "held-out",
    backend: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or tensorrt; else by the suffix.")] = None,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="No noise: the likeliest action.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json and .png [the policy's].")] = None,
) -> None:
    """Measure learning in context: return per episode on hidden tasks, without any update."""
    _require("evaluating", "train", "gymnasium", "matplotlib")
    from dmh_edge import console, plots
    from dmh_edge import tasks as known
    from dmh_edge.data.selection import validation_ids
    from dmh_edge.evaluate import evaluate as measure
    from dmh_edge.files import write_text
    from dmh_edge.schema import differences

    folder = policy if policy.is_dir() else policy.parent
    trained_for, hold_out, open_session = _opener(policy, backend)
    task = known.find(trained_for.name)
    if changed := ", ".join(differences(trained_for, task.spec)):
        raise ConfigError(f"task {task.spec.name!r} is not what {policy} was trained for: {changed}; train it again")
    validation = validation_ids(task.train_ids, hold_out)
    learned = tuple(number for number in task.train_ids if number not in validation)
    hidden = {"held-out": task.test_ids, "validation": validation, "training": learned}[tasks]
    if not hidden:
        raise ConfigError(f"{policy} held out no task for validation; train with --set data.hold_out=10")
    with console.bars() as told:
        found = measure(open_session, task, hidden, episodes, range(seeds), deterministic, told)
    console.out.print(console.evaluation_table(found))
    where = out or folder
    write_text(where / "evaluation.json", found.model_dump_json(indent=1) + "\n")
    plots.learning_in_context(found, where / "evaluation.png")
    console.say(f"wrote {where / 'evaluation.json'} and {where / 'evaluation.png'}")


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="RUN|POLICY", help="A run; or, to build plans, a policy's folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the policy; an old one is replaced.")] = None,
    trt: Annotated[bool, typer.Option("--trt", help="Build TensorRT plans beside the ONNX files.")] = False,
    trt_target: Annotated[list[str] | None, typer.Option(help="GPU architecture, e.g. sm89; repeatable.")] = None,
    precision: Annotated[
        Literal["float32", "float16"] | None, typer.Option(help="Of the matrix products [float32].")
    ] = None,
) -> None:
    """Turn a run into a folder that a robot can run, proved equal to the trained model."""
    from dmh_edge import console
    from dmh_edge.contract import CONTRACT_NAME

    targets = tuple(trt_target or ())
    if targets and not trt:
        raise ConfigError("--trt-target without --trt: say --trt to build plans")
    if (source / CONTRACT_NAME).exists():
        from dmh_edge.export.plans import build_plans
        from dmh_edge.runtime.policy import Policy

        if not trt or out is not None or precision is not None:
            raise ConfigError(
                f"{source} is exported already: add --trt to build its plans in place, and drop --out and --precision"
            )
        note = build_plans(Policy.load(source), targets, console.say)
        console.say(f"wrote {', '.join(note.plans)} in {source}, in place of any that were there")
        return
    if out is None:
        raise ConfigError("say with --out where the policy's folder shall be")
    _require("exporting a run", "export", "torch", "safetensors", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge.export.pipeline import export_policy

    with console.bars() as told:
        policy = export_policy(source, out, precision or "float32", trt, targets, console.say, told)
    console.out.print(console.parity_table(list(policy.contract.parity)))
    console.say(f"wrote {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")


@app.command()
def inspect(
    engine: Annotated[Path, typer.Argument(help="A policy's folder, or a file in it.")],
) -> None:
    """Show a policy's contract, hashes and parity figures, after checking every file."""
    from dmh_edge import console
    from dmh_edge.runtime.engine import locate
    from dmh_edge.runtime.policy import Policy

    folder, _ = locate(engine, None)
    for table in console.policy_tables(Policy.load(folder)):
        console.out.print(table)


@app.command()
def parity(
    engine: Annotated[Path, typer.Argument(help="A policy's folder, or a file in it.")],
    ticks: Annotated[int, typer.Option(min=1, help="Length of each rollout.")] = 10_000,
    run: Annotated[Path | None, typer.Option(help="The run that it came from, if it has moved.")] = None,
) -> None:
    """Prove again that every link computes what the trained model computes."""
    _require("parity against the trained model", "export", "torch", "safetensors", "onnx", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.export.pipeline import prove, reference_model
    from dmh_edge.runtime.engine import locate
    from dmh_edge.runtime.policy import Policy

    policy = Policy.load(locate(engine, None)[0])
    with console.bars() as told:
        figures = prove(policy, reference_model(policy, run), ticks, console.say, told)
    console.out.print(console.parity_table(figures))


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
    out: Annotated[Path | None, typer.Option(help="Folder of the run's records and page [runs/robot/TIME].")] = None,
    live: Annotated[bool, typer.Option("--live", help="Show on the terminal how it goes.")] = False,
    max_miss_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 4 where a larger share of the slots was missed.")
    ] = None,
) -> None:
    """Run a policy on a robot at a fixed rate. Ctrl-C, or any key but e and Enter, stops it and keeps the records.

    With the extra [records] the ticks are kept as run.mcap while the run lasts; without it as trace.npz at its end.
    """
    # Before numpy is imported: its BLAS has 40 MB for every core, and a loop, which needs none of it, locks that.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dmh_edge import console
    from dmh_edge.clock import MonotonicClock
    from dmh_edge.robots.find import find_robot
    from dmh_edge.runtime.engine import open_session
    from dmh_edge.runtime.guard_settings import load_guard
    from dmh_edge.runtime.operate import operate
    from dmh_edge.runtime.records import Limits
    from dmh_edge.runtime.replay import SELF_TEST_TICKS, replay
    from dmh_edge.runtime.terminal import Terminal

    flags = {"ramp_s": ramp_s, "deadman_s": deadman}
    settings = [*(set or ()), *(f"{name}={value}" for name, value in flags.items() if value is not None)]
    guard_settings = load_guard(guard, settings)
    if live and not sys.stderr.isatty():
        raise ConfigError("--live needs a terminal on standard error; page.html shows the run when it is over")
    limits = Limits(ticks, episodes, duration)
    if plan_cache is not None and backend in (None, "tensorrt"):
        from dmh_edge.export.plan_cache import cached_plan

        engine, backend = cached_plan(engine, plan_cache, console.say), None
    policy, session = open_session(engine, backend)
    try:
        records = out or Path("runs", "robot", time.strftime("%Y%m%d-%H%M%S") + "-dry-run" * dry_run)
        machine = find_robot(robot, task=policy.contract.task, options=_options(robot_option or []), seed=seed)
        summary = operate(
            session,
            machine,
            policy_sha256=policy.sha256,
            self_test=lambda: _self_test(replay(policy.golden_trace(), session, SELF_TEST_TICKS)),
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
            mcap=_is_installed("mcap", "google.protobuf"),
            live=live,
        )
    finally:
        session.close()
    console.out.print(summary.table())
    if records.exists():  # nothing is kept of a robot that was never armed
        console.say(f"wrote {records}")
    if summary.stopped_by in ("guard", "watchdog"):
        raise typer.Exit(GUARD_STOPPED)
    if max_miss_rate is not None and summary.miss_rate > max_miss_rate:
        console.say(f"missed {summary.miss_rate:.4%} of the slots, more than the {max_miss_rate:.4%} that are allowed")
        raise typer.Exit(BUDGET_MISSED)


@app.command()
def replay(
    record: Annotated[Path, typer.Argument(metavar="RUN", help="run.mcap or trace.npz of a run, or a golden trace.")],
    engine: Annotated[Path, typer.Option(help="A policy's folder (ONNX), an .onnx file, or a .plan file.")],
    backend: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or tensorrt; else by the suffix.")] = None,
) -> None:
    """Feed a backend what a run fed its own, and compare what comes out: every stretch of the record without a gap."""
    if record.suffix == ".mcap":
        _require("reading run.mcap", "records", "mcap", "google.protobuf")
    from dmh_edge import console
    from dmh_edge.runtime.engine import open_session
    from dmh_edge.runtime.recording import Recording

    recording = Recording.load(record)
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


@bench.command(name="train")
def bench_train(
    task: TaskName = "darkroom",
    model: ModelName = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting over the preset's: model.width=64.")] = None,  # noqa: A002
    updates: Annotated[int, typer.Option(min=1, help="To measure.")] = 20,
    turns: Annotated[int, typer.Option(min=1, help="Forward and backward passes of each Mamba.")] = 5,
    against: Annotated[list[str] | None, typer.Option(help="mambapy or transformers; repeatable [both].")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Length for the Mambas; the updates' if not said.")] = None,
) -> None:
    """Where the time of a training step goes on the CPU, and our Mamba beside other plain-PyTorch ones."""
    _require("training", "train", "torch", "safetensors", "minari", "tensorboard")
    from dmh_edge import config as settings
    from dmh_edge import console, tasks
    from dmh_edge.bench import mambas, training

    used = settings.load(task, model, settings=set or ())
    rivals = mambas.installed(against or ())
    with console.bars() as told:
        profile = training.profile(used, tasks.find(task), updates, told)
    console.out.print(profile.table())
    if not rivals:
        console.say('no other Mamba to compare with: pip install "dmh-edge[bench]" brings mambapy and transformers')
        return
    if profile.tokens == 0 and tokens is None:
        console.say(
            f"{used.model.kind} has no Mamba to compare; say with --tokens at which length to compare one all the same"
        )
        return
    for sizes in mambas.sizes(used.model, profile.batch, tokens or profile.tokens):
        with console.bars() as told:
            comparison = mambas.compare(sizes, rivals, turns, told)
        console.out.print(comparison.table())


@bench.command(name="loop")
def bench_loop(
    engine: Annotated[
        Path | None,
        typer.Argument(help="A policy's folder or engine file [untrained ones, of the paper's sizes and a small one]."),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or tensorrt; else by the suffix.")] = None,
    rate: Annotated[
        list[float] | None, typer.Option(min=1, help="In Hz; repeatable [50, 100, 200, 500; the small one: 1000].")
    ] = None,
    duration: Annotated[float, typer.Option(min=1, help="Seconds for each rate, idle and loaded.")] = 10,
    realtime: Annotated[
        Literal["off", "try", "require"],
        typer.Option(help="Priority, core and memory for the loop: none, what can be had, or all or no start."),
    ] = "try",
    spin_us: Annotated[float, typer.Option(min=0, max=500, help="As in run.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for loop.json and loop.csv.")] = Path("runs", "bench"),
) -> None:
    """How late the loop is on this machine, idle and loaded, beside a cyclictest at the same time. Needs no torch."""
    from dmh_edge import console
    from dmh_edge.bench import loop
    from dmh_edge.files import write_text
    from dmh_edge.runtime.engine import locate
    from dmh_edge.runtime.policy import Policy

    rates = rate or [50, 100, 200, 500]
    with tempfile.TemporaryDirectory() as folder:
        if engine is not None:
            where, chosen = locate(engine, backend)
            policy = Policy.load(where)
            cases = [loop.Case(policy.contract.name, policy, chosen, hz) for hz in rates]
        else:
            _require("measuring without a policy of yours", "export", "torch", "safetensors", "onnx", "onnxscript")
            from dmh_edge.bench.untrained import PAPER, SMALL, untrained

            console.say("exporting two untrained policies, of the paper's sizes and a small one")
            _, paper = untrained("paper sizes", PAPER, Path(folder, "paper"))
            cases = [loop.Case("paper sizes", paper, "ort-cpu", hz) for hz in rates]
            if rate is None:
                _, small = untrained("small", SMALL, Path(folder, "small"))
                cases.append(loop.Case("small", small, "ort-cpu", 1000))
        found = loop.measure(
            cases,
            duration,
            realtime,
            round(spin_us * 1000),
            lambda setting: console.out.print(setting.headline(), setting.table(), sep="\n", highlight=False),
            console.say,
        )
    write_text(out / "loop.json", found.model_dump_json(indent=1) + "\n")
    write_text(out / "loop.csv", found.csv())
    console.say(f"wrote {out / 'loop.json'} and {out / 'loop.csv'}")


@app.command()
def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="gridworld, tmaze, ablation-subgoal, ablation-c, tuning or cost.")
    ],
    budget: Annotated[
        Literal["smoke", "cpu", "full"],
        typer.Option(
            help="smoke: seconds, proves nothing; cpu: two cores, an hour or so; full: the paper's, for a GPU."
        ),
    ] = "cpu",
    work: Annotated[Path, typer.Option(help="Folder of the runs; what is there is not done again.")] = Path(
        "runs", "studies"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the page, its plots and its CSV file.")] = Path(
        "docs", "results"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Policies at once, one thread each.")] = 2,
) -> None:
    """Put our figures beside the paper's: train what is missing, measure, write a page. The same command goes on."""
    _require("a study", "train", "torch", "safetensors", "minari", "tensorboard", "matplotlib")
    _require("a study", "export", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.studies.find import conduct, find

    page, written = conduct(find(name), budget, work, out, jobs, console.say)
    for verdict in page.verdicts:
        console.out.print(verdict, highlight=False, markup=False, soft_wrap=True)
    console.say(f"wrote {', '.join(map(str, written))}")


def _opener(policy: Path, backend: str | None) -> tuple[TaskSpec, int, Callable[[int], Session]]:
    """What a run or a policy was trained for, how many tasks it held out, and how to open it for some robots."""
    from dmh_edge.contract import CONTRACT_NAME

    if not policy.exists():
        raise ConfigError(f"{policy} does not exist; name the folder of a run, or a policy's folder or engine file")
    if policy.suffix == ".safetensors" or (policy.is_dir() and not (policy / CONTRACT_NAME).exists()):
        _require("evaluating a run", "train", "torch", "safetensors")
        from dmh_edge.checkpoint import Checkpoint
        from dmh_edge.export.pipeline import draft_contract
        from dmh_edge.export.torch_session import TorchSession

        if backend is not None:
            raise ConfigError(f"--backend {backend} runs exported policies; {policy} is a run, which PyTorch evaluates")
        checkpoint = Checkpoint.load(policy)
        contract = draft_contract(checkpoint, policy, policy.name)
        held_out = checkpoint.header.config.data.hold_out
        return contract.task, held_out, lambda batch: TorchSession(checkpoint.build(), contract, batch)
    from dmh_edge.runtime.engine import locate, open_session
    from dmh_edge.runtime.policy import Policy

    contract = Policy.load(locate(policy, backend)[0]).contract
    held_out = int(contract.provenance.config.get("data", {}).get("hold_out", 0))  # older policies do not say
    return contract.task, held_out, lambda batch: open_session(policy, backend, batch)[1]


def _self_test(comparison: Any) -> None:
    comparison.require()


def _options(settings: list[str]) -> dict[str, Any]:
    """``NAME=JSON`` pairs; what is no JSON is taken as text."""
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise ConfigError(f"--robot-option {setting!r}: expected NAME=VALUE, e.g. hidden=3")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def _require(purpose: str, extra: str, *packages: str) -> None:
    for package in packages:
        if not _is_installed(package):
            raise MissingExtraError(package, extra, purpose)


def _is_installed(*packages: str) -> bool:
    try:
        return all(importlib.util.find_spec(package) is not None for package in packages)
    except ModuleNotFoundError:  # of `google.protobuf`, where there is not even a `google`
        return False
