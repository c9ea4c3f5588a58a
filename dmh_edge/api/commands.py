"""Train a policy, and measure what it learns in context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dmh_edge.contract import CONTRACT_NAME
from dmh_edge.errors import ConfigError
from dmh_edge.extras import require
from dmh_edge.progress import Progress, silent

if TYPE_CHECKING:
    from dmh_edge.evaluate import Arena, Evaluation
    from dmh_edge.runtime.sessions.session import Session
    from dmh_edge.task import TaskSpec
    from dmh_edge.train import TrainingSummary

#: Which hidden tasks of a task to use: those that no data set holds, those that ``data.hold_out`` excluded from
#: training, or those that were learned from.
HiddenTasks = Literal["held-out", "validation", "training"]


def train_policy(
    task: str,
    out: str | PathLike[str],
    data: str | PathLike[str] | None = None,
    model: str | None = None,
    config: str | PathLike[str] | None = None,
    settings: Iterable[str] = (),
    resume: bool = False,
) -> TrainingSummary:
    """Train a policy, from data or from its own steps. Progress is shown on standard error.

    Args:
        task: name of the task, e.g. ``darkroom``; ``package.module:NAME`` for a `Task` in a module of yours; for your
            own data set, the name in its ``task_spec``.
        out: folder of the training run; made if it does not exist.
        data: folder of a Minari data set; None makes in memory what `dmh-edge data` would write.
        model: kind of model, e.g. ``dm-h``; None for the kind in ``config`` or, if it has none, ``dm-h``.
        config: JSON file with settings that replace the preset's.
        settings: single settings that replace all others: ``["training.updates=100", "model.width=64"]``.
        resume: whether to go on from the checkpoint in ``out``; if there is none yet, the run starts at the beginning.

    Returns:
        how many updates were made, how fast, and the last loss.

    Raises:
        MissingExtraError: torch or another package of the extra ``train`` is not installed.
        ConfigError: a name or a setting is unknown, ``out`` holds another run, or the training diverged.
        DataError: the data cannot be learned from, or are not those that the run was started with.
        ContractError: the checkpoint in ``out`` is of another task.
        ArtifactError: the checkpoint in ``out`` is altered, or ``out`` cannot be written.
    """
    require("training", "train", "torch", "safetensors", "minari", "tensorboard")
    from dmh_edge import presets
    from dmh_edge.train import train

    chosen = presets.load(task, model, None if config is None else Path(config), settings)
    return train(chosen, None if data is None else Path(data), Path(out), resume)


def evaluate_policy(
    policy: str | PathLike[str],
    episodes: int = 20,
    seeds: int = 3,
    tasks: HiddenTasks = "held-out",
    backend: str | None = None,
    deterministic: bool = False,
    progress: Progress = silent,
    robots: Robots | None = None,
) -> Evaluation:
    """Measure learning in context: the return of each episode on hidden tasks, without any update of the weights.

    Args:
        policy: folder of a training run, folder of an exported policy, or an engine file in such a folder.
        episodes: number of episodes on each hidden task, one after the other.
        seeds: number of passes over all hidden tasks, with seeds 0, 1, ...
        tasks: which hidden tasks; ``validation`` means those that ``data.hold_out`` excluded from training.
        backend: backend that runs an exported policy; None for the one that the file's suffix suggests.
        deterministic: whether to choose the likeliest action, without noise.
        progress: called with the name of the agent that plays, episodes done and episodes in all.
        robots: simulated robots to play on instead of the task's own environments; ``tasks`` is not used then.

    Returns:
        the curves of the policy, of the same without memory across episodes, of the expert if there is one, and of a
        random policy; and the verdict in words.

    Raises:
        MissingExtraError: gymnasium is not installed or, for a training run, torch.
        ConfigError: there is no such policy or backend, its task has no simulator or has changed, or no task was held
            out for validation.
        ArtifactError: a file is missing, truncated or altered.
        RobotError, ContractError: there is no such robot, or it does not fit the policy.
    """
    require("evaluating", "sim", "gymnasium")
    if episodes < 1 or seeds < 1:
        raise ConfigError(f"got {episodes} episodes and {seeds} seeds, expected at least one of each")
    from dmh_edge.evaluate import evaluate
    from dmh_edge.robot_arena import robot_arena
    from dmh_edge.verdict import verdict

    trained = _trained(Path(policy), backend)
    if robots is None:
        arena = _arena(policy, trained, tasks)
    else:
        arena = robot_arena(robots.name, trained.task, robots.options, robots.varied)
    found = evaluate(trained.open_session, arena, episodes, range(seeds), deterministic, progress)
    return found.model_copy(update={"verdict": verdict(found, trained.episodes_per_context)})


class Robots(NamedTuple):
    """Simulated robots to try a policy on: one for each combination of the varied options."""

    name: str
    """Name of the robot, as for `dmh-edge run --robot`."""
    varied: tuple[str, ...]
    """Options that differ, e.g. ``target=0:24``: see `robot_arena.combinations`."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Options that all robots have."""


def _arena(policy: str | PathLike[str], trained: _Trained, tasks: HiddenTasks) -> Arena:
    """Return the environments of a policy's own task."""
    from dmh_edge import tasks as simulated
    from dmh_edge.data.selection import validation_ids
    from dmh_edge.evaluate import Arena
    from dmh_edge.schema import differences

    name = next((name for name in (trained.found_as, trained.task.name) if simulated.is_known(name)), None)
    if name is None:
        raise ConfigError(
            f"{policy} was trained for {trained.task.name!r}, which has no simulator here; "
            "try it on its robot: `dmh-edge eval POLICY --robot my_arm.driver:Arm --vary target=0:24` for simulated "
            "robots, or `dmh-edge run --episodes 20`"
        )
    task = simulated.find(name)
    if changed := ", ".join(differences(trained.task, task.spec)):
        raise ConfigError(f"task {task.spec.name!r} has changed since {policy} was trained: {changed}; train it again")
    validation = validation_ids(task.train_ids, trained.hold_out)
    learned = tuple(number for number in task.train_ids if number not in validation)
    hidden = {"held-out": task.test_ids, "validation": validation, "training": learned}[tasks]
    if not hidden:
        raise ConfigError(f"{policy} held out no task for validation; train with --set data.hold_out=10")
    return Arena.of(task, hidden)


class _Trained(NamedTuple):
    """What is needed to try a training run or a policy."""

    task: TaskSpec
    """Its task."""
    found_as: str
    """Name under which training found the task."""
    hold_out: int
    """Number of hidden tasks that were kept from training."""
    episodes_per_context: int | None
    """Episodes of the contexts that it was trained on; None if that is not known."""
    open_session: Callable[[int], Session]
    """Opens the policy for a number of robots."""

    @classmethod
    def of(cls, task: TaskSpec, config: Mapping[str, Any], open_session: Callable[[int], Session]) -> _Trained:
        """Read the settings of a run; those of older versions lack some."""
        data = config.get("data", {})
        return cls(
            task,
            str(config.get("task", task.name)),
            int(data.get("hold_out", 0)),
            data.get("episodes_per_context"),
            open_session,
        )


def _trained(policy: Path, backend: str | None) -> _Trained:
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
        config = checkpoint.header.config.model_dump(mode="json")
        return _Trained.of(contract.task, config, lambda robots: TorchSession(checkpoint.build(), contract, robots))
    from dmh_edge.runtime.sessions.engine import locate, session_for
    from dmh_edge.runtime.sessions.policy import Policy

    folder, chosen = locate(policy, backend)
    checked = Policy.load(folder)
    contract = checked.contract
    return _Trained.of(contract.task, contract.provenance.config, lambda robots: session_for(checked, chosen, robots))
