"""What is learned: environments, their scripted experts and the `TaskSpec` of each. numpy and gymnasium, no torch.

Importing this registers the environments with gymnasium, so that
``gymnasium.make("dmh_edge.tasks:darkroom", hidden=3)`` works anywhere.
"""

from __future__ import annotations

from dmh_edge.errors import ConfigError, MissingExtraError, unknown

try:
    from dmh_edge.tasks import dark_reacher, darkroom
except ModuleNotFoundError as error:
    if error.name != "gymnasium":
        raise
    raise MissingExtraError("gymnasium", "sim", "a simulated task") from error
from dmh_edge.tasks.task import Task

TASKS: dict[str, Task] = {task.spec.name: task for task in (darkroom.TASK, dark_reacher.TASK)}


def find(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: there is none; the message names the nearest one.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise ConfigError(unknown("task", name, TASKS)) from None
