"""The simulated tasks: environments, their scripted experts and the `TaskSpec` of each. Needs gymnasium, but not torch.

A task of your own is a `Task` in a module of yours; `gymnasium_task` makes one from a gymnasium environment.

Importing this package registers the environments with gymnasium, so that
``gymnasium.make("dmh_edge.tasks:darkroom", hidden=3)`` works anywhere. A T-maze of another length is registered when
`find` makes it.
"""

from __future__ import annotations

from dmh_edge import user_modules
from dmh_edge.errors import ConfigError, MissingExtraError, unknown

try:
    from dmh_edge.tasks import dark_camera, dark_payload, dark_reacher, dark_slide, gridworld, tmaze
except ModuleNotFoundError as error:
    if error.name != "gymnasium":
        raise
    raise MissingExtraError("gymnasium", "sim", "a simulated task") from error
from dmh_edge.tasks.family import Task
from dmh_edge.tasks.own import gymnasium_task

__all__ = ["TASKS", "Task", "find", "gymnasium_task", "is_known"]

TASKS: dict[str, Task] = {
    **{task.spec.name: task for task in gridworld.TASKS},
    "tmaze": tmaze.TASK,
    **{task.spec.name: task for task in (dark_reacher.TASK, dark_payload.TASK, dark_camera.TASK, dark_slide.TASK)},
}


def is_known(name: str) -> bool:
    """Return whether `find` knows a task of that name, or would look for it in a module.

    Raises:
        ConfigError: the name means a T-maze whose length is out of range.
    """
    return ":" in name or name in TASKS or tmaze.find(name) is not None


def find(name: str) -> Task:
    """Return the task of that name.

    Args:
        name: one of `TASKS`; ``tmaze-<L>``, a T-maze of memory length L; or ``package.module:NAME``, a `Task` in a
            module of the user's.

    Raises:
        ConfigError: there is no such task; the message names the nearest one.
    """
    if ":" in name:
        own = user_modules.find(name, "task", "my_arm.task:TASK")
        if not isinstance(own, Task):
            raise ConfigError(
                f"task {name}: got {type(own).__name__}, expected a dmh_edge.tasks.Task; gymnasium_task makes one from "
                "a gymnasium environment"
            )
        return own
    task = TASKS.get(name) or tmaze.find(name)
    if task is None:
        raise ConfigError(unknown("task", name, [*TASKS, "tmaze-<L>"]))
    return task
