"""Commands that write a policy's folder and check it: ``export``, ``inspect``, ``parity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge.cli.app import PolicyFiles, app
from dmh_edge.errors import ConfigError
from dmh_edge.extras import require


@app.command()
def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="TRAINING_RUN|POLICY",
            help="Folder of a training run. With --trt also the folder of a policy: its plans are built in place.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the policy to this folder; it replaces an older one. Required for a training run.",
        ),
    ] = None,
    trt: Annotated[bool, typer.Option("--trt", help="Build TensorRT plans beside the ONNX files.")] = False,
    trt_target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GPU",
            help="Build plans for this GPU architecture, e.g. sm89. May be given several times. "
            "Default: sm86, sm89 and sm120 with TensorRT-RTX, and the GPU of this machine with TensorRT.",
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(help="Compute matrix products in this element type. Default: float32."),
    ] = None,
) -> None:
    """Turn a training run into a policy for a robot.

    Checks that every exported file computes what the trained model computes.
    """
    from dmh_edge import console
    from dmh_edge.contract import CONTRACT_NAME

    targets = tuple(trt_target or ())
    if targets and not trt:
        raise ConfigError("--trt-target without --trt: add --trt to build plans")
    if (source / CONTRACT_NAME).exists():
        from dmh_edge.export.plans import build_plans
        from dmh_edge.runtime.sessions.policy import Policy

        if not trt:
            raise ConfigError(f"{source} is already an exported policy; add --trt to build its plans in place")
        if out is not None or precision is not None:
            raise ConfigError(
                f"{source} is already an exported policy, and plans are built in place: drop --out and --precision"
            )
        note = build_plans(Policy.load(source), targets, console.say)
        console.say(f"wrote {', '.join(note.plans)} in {source}, in place of any that were there")
        return
    if out is None:
        raise ConfigError("--out is missing: give it the folder to write the policy to")
    from dmh_edge.api import export_policy

    with console.bars() as told:
        policy = export_policy(source, out, precision or "float32", trt, targets, console.say, told)
    console.out.print(console.parity_table(policy.contract.parity))
    console.say(f"wrote {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")


@app.command()
def inspect(engine: PolicyFiles) -> None:
    """Check a policy's files and show its contract.

    Shows what an operator needs to know: the task, tensors, hashes, provenance and parity figures.
    """
    from dmh_edge import console
    from dmh_edge.runtime.sessions.engine import locate
    from dmh_edge.runtime.sessions.policy import Policy

    folder, _ = locate(engine, None)
    for table in console.policy_tables(Policy.load(folder)):
        console.out.print(table)


@app.command()
def parity(
    engine: PolicyFiles,
    ticks: Annotated[
        int, typer.Option(min=1, metavar="TICKS", help="Number of ticks to compare per rollout.")
    ] = 10_000,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="TRAINING_RUN",
            help="Read the trained model from this training run. Default: the one that the policy was exported from.",
        ),
    ] = None,
) -> None:
    """Check again that a policy computes what its trained model computes.

    Compares each of these with the one before it: the trained model, its step form, ONNX Runtime and TensorRT.
    """
    require("parity against the trained model", "export", "torch", "safetensors", "onnx", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.export.pipeline import prove, reference_model
    from dmh_edge.runtime.sessions.engine import locate
    from dmh_edge.runtime.sessions.policy import Policy

    policy = Policy.load(locate(engine, None)[0])
    with console.bars() as told:
        proved = prove(policy, reference_model(policy, run), ticks, console.say, told)
    console.out.print(console.parity_table(proved.parity))
