"""Commands that measure training and the control loop on this machine: ``bench train``, ``bench loop``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge import names
from dmh_edge.cli.app import (
    Application,
    TaskName,
    app,
    backend_option,
    choices,
    realtime_option,
    spin_option,
)
from dmh_edge.extras import require
from dmh_edge.runtime.realtime import RealTime

bench = Application(help="Measure training and the control loop on this machine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

_RATES = [50.0, 100.0, 200.0, 500.0]
_MEASURED, _LOOP, _KEPT = "What is measured", "How the loop runs", "What is kept"


@bench.command(name="train")
def bench_train(
    task: TaskName = "darkroom",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=f"Measure this kind of model: {choices(names.MODELS)}. Default: dm-h."),
    ] = None,
    set: Annotated[  # noqa: A002
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Change one setting of the preset, e.g. model.width=64. May be given several times.",
        ),
    ] = None,
    updates: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Number of updates to measure.")] = 20,
    turns: Annotated[
        int,
        typer.Option(min=1, metavar="NUMBER", help="Number of forward and backward passes to measure of each Mamba."),
    ] = 5,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE",
            help=f"Compare with the Mamba of this package: {choices(names.RIVAL_MAMBAS)}. "
            "May be given several times. Default: all of these that are installed.",
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="TOKENS",
            help="Compare the Mambas at this sequence length. Default: the length in the updates.",
        ),
    ] = None,
) -> None:
    """Measure where the time of a training step goes on the CPU.

    Also compares the Mamba of dmh-edge with others in plain PyTorch.
    """
    require("training", "train", "torch", "safetensors", "minari", "tensorboard")
    from dmh_edge import console, presets, tasks
    from dmh_edge.bench import mambas, training

    found = tasks.find(task)
    used = presets.load(task, model, settings=set or ())
    rivals = mambas.installed(against or ())
    with console.bars() as told:
        profile = training.profile(used, found, updates, told)
    console.out.print(profile.table())
    if not rivals:
        console.say(
            'no other Mamba is installed to compare with: run pip install ".[bench]" in the source folder of dmh-edge'
        )
        return
    if profile.tokens == 0 and tokens is None:
        console.say(
            f"{used.model.kind} has no Mamba to compare; to compare Mambas of the paper's sizes, give --tokens a length"
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
        typer.Argument(
            metavar="POLICY",
            help="Folder of an exported policy, or an .onnx or .plan file in it. Default: untrained policies.",
        ),
    ] = None,
    backend: Annotated[str | None, backend_option(_MEASURED)] = None,
    sizes: Annotated[
        Literal["paper", "small", "both"],
        typer.Option(
            rich_help_panel=_MEASURED, help="Measure untrained policies of these sizes if no POLICY is given."
        ),
    ] = "both",
    rate: Annotated[
        list[float] | None,
        typer.Option(
            min=1,
            metavar="HZ",
            rich_help_panel=_MEASURED,
            help="Measure at this control rate in Hz. May be given several times. "
            "Default: 50, 100, 200 and 500 Hz, and 1000 Hz for the small untrained policy.",
        ),
    ] = None,
    duration: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            rich_help_panel=_MEASURED,
            help="Measure for this many seconds at each rate and load.",
        ),
    ] = 10,
    load: Annotated[
        Literal["idle", "busy", "both"],
        typer.Option(
            rich_help_panel=_MEASURED,
            help="Keep the other cores idle or busy during the measurement, or measure both, one after the other.",
        ),
    ] = "both",
    realtime: Annotated[RealTime, realtime_option(_LOOP)] = "try",
    spin_us: Annotated[float, spin_option(_LOOP)] = 0,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", rich_help_panel=_KEPT, help="Write loop.json and loop.csv to this folder.")
    ] = Path("runs", "bench"),
) -> None:
    """Measure how late the control loop is on this machine.

    The other cores are idle and then busy, and cyclictest runs at the same time. With a POLICY no torch is needed.
    """
    from dmh_edge import console
    from dmh_edge.bench import steadiness
    from dmh_edge.files import write_text
    from dmh_edge.runtime.sessions.engine import locate
    from dmh_edge.runtime.sessions.policy import Policy

    with tempfile.TemporaryDirectory() as folder:
        if engine is not None:
            where, chosen = locate(engine, backend)
            policy = Policy.load(where)
            cases = [steadiness.Case(policy.contract.name, policy, chosen, hz) for hz in rate or _RATES]
        else:
            require("measuring untrained policies", "export", "torch", "safetensors", "onnx", "onnxscript")
            from dmh_edge.bench.untrained import PAPER, SMALL, untrained

            known = {"paper": ("paper sizes", PAPER, _RATES), "small": ("small", SMALL, [1000.0])}
            cases = []
            for wanted in known if sizes == "both" else (sizes,):
                name, model, usual = known[wanted]
                console.say(f"exporting an untrained policy: {name}")
                _, policy = untrained(name, model, Path(folder, wanted))
                cases += [steadiness.Case(name, policy, "ort-cpu", hz) for hz in rate or usual]
        found = steadiness.measure(
            cases,
            duration,
            realtime,
            round(spin_us * 1000),
            steadiness.LOADS if load == "both" else (load,),
            lambda setting: console.out.print(setting.headline(), setting.table(), sep="\n", highlight=False),
            console.say,
        )
    write_text(out / "loop.json", found.model_dump_json(indent=1) + "\n")
    write_text(out / "loop.csv", found.csv())
    console.say(f"wrote {out / 'loop.json'} and {out / 'loop.csv'}")
