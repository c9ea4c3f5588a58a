"""Commands that measure what things cost on this machine: ``bench train``, ``bench loop``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge.cli.app import ModelName, TaskName, app, require

bench = typer.Typer(help="Measure what things cost on this machine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

_RATES = [50.0, 100.0, 200.0, 500.0]


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
        console.say('no other Mamba to compare with: pip install ".[bench]" in the source of dmh-edge brings some')
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
    sizes: Annotated[
        Literal["paper", "small", "both"], typer.Option(help="Of the untrained policy, where no engine is given.")
    ] = "both",
    rate: Annotated[
        list[float] | None, typer.Option(min=1, help="In Hz; repeatable [50, 100, 200, 500; the small one: 1000].")
    ] = None,
    duration: Annotated[float, typer.Option(min=1, help="Seconds for each rate and load.")] = 10,
    load: Annotated[
        Literal["idle", "busy", "both"], typer.Option(help="Of the other cores; both: one after the other.")
    ] = "both",
    realtime: Annotated[
        Literal["off", "try", "require"],
        typer.Option(help="Priority, core and memory for the loop: none, what can be had, or all or no start."),
    ] = "try",
    spin_us: Annotated[float, typer.Option(min=0, max=500, help="As in run.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for loop.json and loop.csv.")] = Path("runs", "bench"),
) -> None:
    """How late the loop is on this machine, idle and loaded, beside a cyclictest at the same time. Needs no torch."""
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
            require("measuring without a policy of yours", "export", "torch", "safetensors", "onnx", "onnxscript")
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
