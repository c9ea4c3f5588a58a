"""Commands for training and for measuring what was learned: ``data``, ``ceiling``, ``train``, ``eval``, ``study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dmh_edge import names
from dmh_edge.cli.app import (
    SIMULATED_TASKS,
    ModelName,
    Settings,
    TaskName,
    app,
    backend_option,
    choices,
)
from dmh_edge.extras import require
from dmh_edge.settings import parse_setting


@app.command()
def data(
    task: TaskName,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Write the data set to this folder; it replaces an older one.")
    ],
    histories: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Number of learning histories to record per hidden task. Default: enough for this task.",
        ),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Number of episodes per history, from random to expert behaviour. Default: enough for this task.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Seed of every random generator.")] = 0,
) -> None:
    """Record learning histories of a scripted expert.

    Writes a Minari data set, which `dmh-edge train --data` reads.
    """
    from dmh_edge import console, tasks
    from dmh_edge.data.generate import generate

    found = tasks.find(task)
    with console.bars() as told:
        generate(found, out, histories, episodes, seed, told)
    console.say(f"wrote {out}")


@app.command()
def ceiling(
    task: TaskName,
    episodes: Annotated[
        int, typer.Option(min=1, metavar="NUMBER", help="Number of episodes to play in a row on each hidden task.")
    ] = 20,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, metavar="NUMBER", help="Number of passes over all hidden tasks, each with its own seed: 0, 1, 2 ..."
        ),
    ] = 3,
    tasks: Annotated[
        Literal["held-out", "training"],
        typer.Option(help="Play these hidden tasks: held-out are in no data set, and training are in the data sets."),
    ] = "held-out",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write ceiling.json and ceiling.png to this folder. Default: the folder TASK in runs/ceilings.",
        ),
    ] = None,
) -> None:
    """Compute what a policy can reach that imitates a task's teachers.

    Needs no training and no network. Prints returns on hidden tasks in the first and the last episodes, how much memory
    can be worth, and which teacher to train with.
    """
    require("computing ceilings", "train", "gymnasium", "matplotlib")
    from dmh_edge import ceiling as computed
    from dmh_edge import console, plots
    from dmh_edge import tasks as simulated
    from dmh_edge.files import write_text

    chosen = simulated.find(task)
    hidden = {"held-out": chosen.test_ids, "training": chosen.train_ids}[tasks]
    with console.bars() as told:
        found = computed.ceiling(chosen, hidden, episodes, range(seeds), told)
    some = f"{len(hidden)} hidden tasks, {seeds} seeds"
    console.out.print(console.returns_table(f"{found.task}: return on {some}, with 95% intervals", found.curves))
    for sentence in found.sentences():
        console.out.print(sentence, highlight=False, markup=False, soft_wrap=True)
    where = out or Path("runs", "ceilings", task)
    write_text(where / "ceiling.json", found.model_dump_json(indent=1) + "\n")
    title = f"{found.task}: {some}, mean and 95% interval"
    panel = plots.per_episode(title, {curve.name: curve.per_episode for curve in found.curves})
    plots.draw([panel], where / "ceiling.png")
    console.say(f"wrote {where / 'ceiling.json'} and {where / 'ceiling.png'}")


@app.command()
def train(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help=f"Name of the task: {SIMULATED_TASKS} "
            "A task of your own is package.module:NAME, a Task in your module; or it has the name that is stored in "
            "its data set, which you give with --data.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Write settings, logs and checkpoints of the training to this folder."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Learn from this Minari data set, made by `dmh-edge data` or by you. "
            "Default: record in memory the data that `dmh-edge data` would write.",
        ),
    ] = None,
    model: ModelName = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Replace settings of the preset by those in this JSON file.")
    ] = None,
    set: Settings = None,  # noqa: A002
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue from the checkpoint in --out; if there is none, start from the beginning."
        ),
    ] = False,
) -> None:
    """Train a policy, from data or from its own steps.

    Settings come from the preset of the task and the model, then from --config, then from --set; the last one counts.
    With --set on_policy=true the policy plays in the task's simulator, and a teacher says what was right.
    """
    from dmh_edge import console
    from dmh_edge.api import train_policy

    train_policy(task, out, data, model, config, set or (), resume)
    console.say(f"what it learns in context, on hidden tasks that it has not seen, is shown by: dmh-edge eval {out}")


#: Sections of the help of `eval`.
_POLICY, _PLAYED, _ROBOTS, _RESULTS = "Policy", "What is played", "Simulated robots", "Results"


@app.command(name="eval")
def evaluate(
    policy: Annotated[
        Path,
        typer.Argument(
            metavar="TRAINING_RUN|POLICY",
            help="Folder of a training run or of an exported policy, or an .onnx or .plan file of an exported policy.",
        ),
    ],
    episodes: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Number of episodes to play in a row on each hidden task.",
            rich_help_panel=_PLAYED,
        ),
    ] = 20,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Number of passes over all hidden tasks, each with its own seed: 0, 1, 2 ...",
            rich_help_panel=_PLAYED,
        ),
    ] = 3,
    tasks: Annotated[
        Literal["held-out", "validation", "training"],
        typer.Option(
            help="Play these hidden tasks: held-out are in no data set, validation were kept from training by the "
            "setting data.hold_out, and training are those that the policy learned from.",
            rich_help_panel=_PLAYED,
        ),
    ] = "held-out",
    backend: Annotated[str | None, backend_option(_POLICY)] = None,
    robot: Annotated[
        str | None,
        typer.Option(
            metavar="ROBOT",
            help="Play on simulated robots instead of the task's own environments: gym:ID, or package.module:Class for "
            "a driver of your own. Give --vary too.",
            rich_help_panel=_ROBOTS,
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="Make one robot for each value of this option: target=0:24 for 0 to 23, mass=1:2:0.25, or a JSON list "
            "of values. With several such options, one for each combination.",
            rich_help_panel=_ROBOTS,
        ),
    ] = None,
    robot_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Set an option of all robots. May be given several times.",
            rich_help_panel=_ROBOTS,
        ),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Take the likeliest action at every step, without noise.",
            rich_help_panel=_POLICY,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write evaluation.json and evaluation.png to this folder. Default: the folder of the run or policy.",
            rich_help_panel=_RESULTS,
        ),
    ] = None,
) -> None:
    """Measure what a policy learns in context.

    Prints its returns on hidden tasks in the first and the last episodes, and those of an expert and a random policy,
    and says in words what memory is worth. The weights are not updated.
    """
    require("evaluating", "train", "gymnasium", "matplotlib")
    from dmh_edge import console, plots
    from dmh_edge.api.commands import Robots, evaluate_policy
    from dmh_edge.errors import ConfigError
    from dmh_edge.files import write_text

    if (robot is None) != (not vary):
        raise ConfigError("--robot and --vary need each other: --robot my_arm.driver:Arm --vary target=0:24")
    if robot is None and robot_option:
        raise ConfigError("--robot-option is for --robot, which is not given")
    options = dict(parse_setting(text, "--robot-option", "address=10.0.0.2") for text in robot_option or ())
    robots = None if robot is None else Robots(robot, tuple(vary or ()), options)
    with console.bars() as told:
        found = evaluate_policy(policy, episodes, seeds, tasks, backend, deterministic, told, robots)
    console.out.print(console.evaluation_table(found))
    for sentence in found.verdict:
        console.out.print(sentence, highlight=False, markup=False, soft_wrap=True)
    where = out or (policy if policy.is_dir() else policy.parent)
    write_text(where / "evaluation.json", found.model_dump_json(indent=1) + "\n")
    plots.learning_in_context(found, where / "evaluation.png")
    console.say(f"wrote {where / 'evaluation.json'} and {where / 'evaluation.png'}")


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="STUDY", help=f"Name of the study: {choices(names.STUDIES)}.")],
    budget: Annotated[
        Literal["smoke", "cpu", "full"],
        typer.Option(
            help="Amount of training: smoke takes seconds and proves nothing, cpu takes one to three hours on two "
            "cores, and full uses the paper's sizes, which need a GPU."
        ),
    ] = "cpu",
    work: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Keep training runs in this folder; work that is finished there is not repeated."
        ),
    ] = Path("runs", "studies"),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the page, its plots and its CSV file to this folder. "
            "Default: docs/results, or with --budget smoke the folder smoke in --work.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="NUMBER", help="Number of policies to train at once, each on one thread.")
    ] = 2,
) -> None:
    """Measure a claim of the paper and write a page.

    Trains what is missing, measures, and shows our figures beside the paper's. After an interruption, the same command
    continues the study.
    """
    require("a study", "train", "torch", "safetensors", "minari", "tensorboard", "matplotlib")
    require("a study", "export", "onnx", "onnxscript", "onnxruntime")
    from dmh_edge import console
    from dmh_edge.studies.conduct import conduct, find

    if out is None:  # a page that proves nothing must not replace a real one
        out = work / "smoke" if budget == "smoke" else Path("docs", "results")
    page, written = conduct(find(name), budget, work, out, jobs, console.say)
    for verdict in page.verdicts:
        console.out.print(verdict, highlight=False, markup=False, soft_wrap=True)
    console.say(f"wrote {', '.join(map(str, written))}")
