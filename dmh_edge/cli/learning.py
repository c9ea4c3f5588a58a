"""Commands of whoever trains: ``data``, ``train``, ``eval``, ``study``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dmh_edge.cli.app import ModelName, Seed, TaskName, app, require
from dmh_edge.errors import ConfigError

if TYPE_CHECKING:
    from dmh_edge.runtime.sessions.session import Session
    from dmh_edge.task import TaskSpec


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
        generate(found, out, histories, episodes, seed, told)
    console.say(f"wrote {out}")


@app.command()
def train(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Minari data set, of `dmh-edge data` or your own, also of a task of your own [made in memory]."
        ),
    ] = None,
    model: ModelName = None,
    config: Annotated[Path | None, typer.Option(help="JSON file with settings over the preset's.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting over all others: model.width=64.")] = None,  # noqa: A002
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train a policy from data."""
    require("training", "train", "torch", "safetensors", "minari", "tensorboard")
    from dmh_edge import presets
    from dmh_edge.train import train as fit

    fit(presets.load(task, model, config, set or ()), data, out, resume=resume)


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
    require("evaluating", "train", "gymnasium", "matplotlib")
    from dmh_edge import console, plots
    from dmh_edge import tasks as known
    from dmh_edge.data.selection import validation_ids
    from dmh_edge.evaluate import evaluate as measure
    from dmh_edge.files import write_text
    from dmh_edge.schema import differences

    folder = policy if policy.is_dir() else policy.parent
    trained_for, hold_out, open_session = _opener(policy, backend)
    if not known.is_known(trained_for.name):
        raise ConfigError(
            f"{policy} was trained for {trained_for.name!r}, which has no simulator here; "
            "`dmh-edge run --episodes 20` on its robot tells the return per episode"
        )
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


def _opener(policy: Path, backend: str | None) -> tuple[TaskSpec, int, Callable[[int], Session]]:
    """What a run or a policy was trained for, how many tasks it held out, and how to open it for some robots."""
    from dmh_edge.contract import CONTRACT_NAME

    if not policy.exists():
        raise ConfigError(f"{policy} does not exist; name the folder of a run, or a policy's folder or engine file")
    if policy.suffix == ".safetensors" or (policy.is_dir() and not (policy / CONTRACT_NAME).exists()):
        require("evaluating a run", "train", "torch", "safetensors")
        from dmh_edge.checkpoint import Checkpoint
        from dmh_edge.export.pipeline import draft_contract
        from dmh_edge.export.torch_session import TorchSession

        if backend is not None:
            raise ConfigError(f"--backend {backend} runs exported policies; {policy} is a run, which PyTorch evaluates")
        checkpoint = Checkpoint.load(policy)
        contract = draft_contract(checkpoint, policy, policy.name)
        held_out = checkpoint.header.config.data.hold_out
        return contract.task, held_out, lambda batch: TorchSession(checkpoint.build(), contract, batch)
    from dmh_edge.runtime.sessions.engine import locate, open_session
    from dmh_edge.runtime.sessions.policy import Policy

    contract = Policy.load(locate(policy, backend)[0]).contract
    held_out = int(contract.provenance.config.get("data", {}).get("hold_out", 0))  # older policies do not say
    return contract.task, held_out, lambda batch: open_session(policy, backend, batch)[1]


@app.command()
def study(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="gridworld, tmaze, ablation-subgoal, ablation-c, tuning, cost or latency."),
    ],
    budget: Annotated[
        Literal["smoke", "cpu", "full"],
        typer.Option(
            help="smoke: seconds, proves nothing; cpu: one to three hours of two cores; full: the paper's, for a GPU."
        ),
    ] = "cpu",
    work: Annotated[Path, typer.Option(help="Folder of the runs; what is there is not done again.")] = Path(
        "runs", "studies"
    ),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page, its plots and its CSV file [docs/results; of smoke, WORK/smoke]."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Policies at once, one thread each.")] = 2,
) -> None:
    """Put our figures beside the paper's: train what is missing, measure, write a page. The same command goes on."""
    require("a study", "train", "torch", "safetensors", "minari", "tensorboard", "matplotlib")
    require("a study", "export", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.studies.find import conduct, find

    if out is None:  # a page that proves nothing takes no other's place
        out = work / "smoke" if budget == "smoke" else Path("docs", "results")
    page, written = conduct(find(name), budget, work, out, jobs, console.say)
    for verdict in page.verdicts:
        console.out.print(verdict, highlight=False, markup=False, soft_wrap=True)
    console.say(f"wrote {', '.join(map(str, written))}")
