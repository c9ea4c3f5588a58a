"""Commands that make a policy's folder and look at it: ``export``, ``inspect``, ``parity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge.cli.app import app, require
from dmh_edge.errors import ConfigError


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
        from dmh_edge.runtime.sessions.policy import Policy

        if not trt:
            raise ConfigError(f"{source} is exported already; add --trt to build its plans in place")
        if out is not None or precision is not None:
            raise ConfigError(f"{source} is exported already, and plans are built in place: drop --out and --precision")
        note = build_plans(Policy.load(source), targets, console.say)
        console.say(f"wrote {', '.join(note.plans)} in {source}, in place of any that were there")
        return
    if out is None:
        raise ConfigError("say with --out where the policy's folder shall be")
    require("exporting a run", "export", "torch", "safetensors", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge.export.pipeline import export_policy

    with console.bars() as told:
        policy = export_policy(source, out, precision or "float32", trt, targets, console.say, told)
    console.out.print(console.parity_table(policy.contract.parity))
    console.say(f"wrote {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")


@app.command()
def inspect(
    engine: Annotated[Path, typer.Argument(help="A policy's folder, or a file in it.")],
) -> None:
    """Show a policy's contract, hashes and parity figures, after checking every file."""
    from dmh_edge import console
    from dmh_edge.runtime.sessions.engine import locate
    from dmh_edge.runtime.sessions.policy import Policy

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
    require("parity against the trained model", "export", "torch", "safetensors", "onnx", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.export.pipeline import prove, reference_model
    from dmh_edge.runtime.sessions.engine import locate
    from dmh_edge.runtime.sessions.policy import Policy

    policy = Policy.load(locate(engine, None)[0])
    with console.bars() as told:
        proved = prove(policy, reference_model(policy, run), ticks, console.say, told)
    console.out.print(console.parity_table(proved.parity))
