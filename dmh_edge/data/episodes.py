"""Episodes: a whole data set in flat numpy arrays, checked once.

The steps of all episodes are stored one after the other. Episode e has steps ``start[e] .. start[e] + length[e] - 1``.
Its observations begin at ``start[e] + e``, because each episode has one observation more than steps: the final one.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.data import minari_read
from dmh_edge.data.minari_read import EXPERT
from dmh_edge.errors import DataError
from dmh_edge.task import DiscreteAction, Element, TaskSpec, bounds_of

#: Fields in which the data's task must agree with the requested one.
_IDENTITY = ("name", "observation", "action", "reward", "rate_hz")


@dataclass(frozen=True)
class Episodes:
    """E episodes with N steps in all.

    Attributes:
        spec: the task that the data were recorded on.
        observation: ``[N + E, S]`` float32.
        action: actions taken, ``[N]`` int64 or ``[N, A]`` float32.
        expert_action: what the expert would have done, shaped like ``action``; None if the data do not contain it.
        reward: ``[N]`` float32; the reward of step t follows the action of step t.
        terminated: ``[E]`` bool: the episode reached a terminal state, and not only its time limit.
        hidden: ``[E]`` int64: number of the hidden task.
        history: ``[E]`` int64: number of the learning history among those of the same hidden task.
        number: ``[E]`` int64: number of the episode in its history.
        length: ``[E]`` int64: number of steps.
    """

    spec: TaskSpec
    observation: NDArray[np.float32]
    action: NDArray[Any]
    expert_action: NDArray[Any] | None
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    hidden: NDArray[np.int64]
    history: NDArray[np.int64]
    number: NDArray[np.int64]
    length: NDArray[np.int64]

    @functools.cached_property
    def start(self) -> NDArray[np.int64]:
        """First step of each episode, ``[E]``."""
        return np.cumsum(self.length) - self.length

    @functools.cached_property
    def returns(self) -> NDArray[np.float64]:
        """Sum of rewards of each episode, ``[E]``."""
        return np.add.reduceat(self.reward, self.start, dtype=np.float64)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 digest of the content; it does not depend on the file that the content came from."""
        digest = hashlib.sha256(self.spec.model_dump_json().encode())
        for field in fields(self):
            if isinstance(array := getattr(self, field.name), np.ndarray):
                digest.update(f"{field.name} {array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def select(self, keep: NDArray[np.bool_]) -> Episodes:
        """Return the episodes for which ``keep`` ``[E]`` is true."""
        step = np.repeat(keep, self.length)
        observed = np.repeat(keep, self.length + 1)
        per_step: dict[str, Any] = {
            name: None if (column := getattr(self, name)) is None else column[step]
            for name in ("action", "expert_action", "reward")
        }
        per_episode = {
            name: getattr(self, name)[keep] for name in ("terminated", "hidden", "history", "number", "length")
        }
        return Episodes(spec=self.spec, observation=self.observation[observed], **per_step, **per_episode)

    @classmethod
    def load(cls, folder: Path, task: TaskSpec | str | None = None) -> Episodes:
        """Read a Minari data set.

        Args:
            folder: folder of the data set, as `minari_files` describes it.
            task: task that the data must be of, or its name; None accepts the task that the data name.

        Raises:
            DataError: the data set does not exist, a field is missing or malformed, numbers are not finite or are out
                of range, or the data are of another task; the message names the field.
        """
        spec, count = minari_read.read_metadata(folder)
        if isinstance(task, str) and task != spec.name:
            raise DataError(f"{folder} holds data of task {spec.name!r}, but {task!r} was asked for")
        if isinstance(task, TaskSpec):
            _check_same_task(folder, spec, task)
        discrete = isinstance(spec.action, DiscreteAction)
        whole, number = "iu", "fiu"
        kinds = {"observations": number, "actions": whole if discrete else number, "rewards": number}
        kinds |= {"terminations": "b", EXPERT: kinds["actions"], **dict.fromkeys(minari_read.LABELS, whole)}
        columns = minari_read.read_columns(folder, count, kinds)
        length = np.array([array.size for array in columns["rewards"]], np.int64)
        action_shape = () if discrete else (spec.action.size,)
        shapes = {"observations": (1, (len(spec.observation),)), "actions": (0, action_shape), "rewards": (0, ())}
        shapes |= {"terminations": (0, ()), EXPERT: (1, action_shape)}
        for field, (extra, rest) in shapes.items():
            for episode, array in enumerate(columns.get(field, ())):
                if array.shape != (expected := (int(length[episode]) + extra, *rest)) or not length[episode]:
                    raise DataError(
                        f"{folder}: field {field!r} of episode {episode} has shape {array.shape}, expected {expected} "
                        "for as many steps as there are rewards, at least one"
                    )
        labels = {field: _label(folder, field, columns[field]) for field in minari_read.LABELS}
        _refuse_twins(folder, labels)
        if EXPERT in columns:  # the expert's action at the final observation belongs to no step
            columns[EXPERT] = [array[:-1] for array in columns[EXPERT]]
        bounds = {"observations": spec.observation, "actions": _bounds(spec), EXPERT: _bounds(spec)}
        bounds["rewards"] = (Element(name="reward", low=spec.reward.low, high=spec.reward.high),)
        for field, elements in bounds.items():
            if field in columns:
                _check_range(folder, field, columns[field], elements)
        action_type = np.int64 if discrete else np.float32
        return cls(
            spec=spec,
            observation=np.concatenate(columns["observations"]).astype(np.float32),
            action=np.concatenate(columns["actions"]).astype(action_type),
            expert_action=np.concatenate(columns[EXPERT]).astype(action_type) if EXPERT in columns else None,
            reward=np.concatenate(columns["rewards"]).astype(np.float32),
            terminated=np.array([array[-1] for array in columns["terminations"]], bool),
            length=length,
            **labels,
        )


def _check_same_task(folder: Path, got: TaskSpec, expected: TaskSpec) -> None:
    for field in _IDENTITY:
        ours, theirs = getattr(expected, field), getattr(got, field)
        if ours != theirs:
            raise DataError(
                f"{folder} holds data of another task than the built-in {expected.name!r}: {field} is "
                f"{_difference(theirs, ours)}; give your own task another name"
            )


def _difference(got: Any, expected: Any) -> str:
    """Say where two values of a `TaskSpec` differ: for tuples, at which element."""
    if isinstance(got, tuple) and isinstance(expected, tuple):
        if len(got) != len(expected):
            return f"{len(got)} elements, expected {len(expected)}"
        index = next(index for index, (one, other) in enumerate(zip(got, expected, strict=True)) if one != other)
        return f"different at element {index}: {got[index]!r}, expected {expected[index]!r}"
    return f"{got!r}, expected {expected!r}"


def _label(folder: Path, field: str, column: list[NDArray[Any]]) -> NDArray[np.int64]:
    """Return a label as whole numbers ``[E]``, one per episode."""
    for episode, value in enumerate(column):
        if value.size != 1 or int(value.item()) < 0:
            raise DataError(
                f"{folder}: field {field!r} of episode {episode} is {value}, expected one number, 0 or more"
            )
    return np.array([value.item() for value in column], np.int64)


def _refuse_twins(folder: Path, labels: dict[str, NDArray[np.int64]]) -> None:
    """Refuse two episodes with the same place in the same history."""
    places, count = np.unique(np.stack([labels[field] for field in minari_read.LABELS], 1), axis=0, return_counts=True)
    if (twice := count > 1).any():
        hidden, history, number = places[twice][0].tolist()
        raise DataError(
            f"{folder}: {count[twice][0]} episodes have hidden {hidden}, history {history} and number {number}; "
            "count the episodes of each history: 0, 1, 2 ..."
        )


def _bounds(spec: TaskSpec) -> tuple[Element, ...]:
    if isinstance(spec.action, DiscreteAction):
        return (Element(name="choice", low=0, high=spec.action.size - 1),)
    return spec.action.elements


def _check_range(folder: Path, field: str, column: list[NDArray[Any]], elements: Sequence[Element]) -> None:
    """Refuse values that are not finite or lie outside the bounds of their element."""
    values = np.concatenate(column).reshape(-1, len(elements))
    low, high = bounds_of(elements)
    slack = 1e-6 * np.maximum(1, np.maximum(abs(low), abs(high)))  # since bounds can be rounded to float32
    wrong = np.argwhere(~((values >= low - slack) & (values <= high + slack)))  # NaN compares false
    if len(wrong):
        row, index = wrong[0]
        ends = np.cumsum([len(array) for array in column])
        episode = int(np.searchsorted(ends, row, side="right"))
        raise DataError(
            f"{folder}: field {field!r} of episode {episode}, step {row - ends[episode] + len(column[episode])}: "
            f"{elements[index].name} is {values[row, index]}, expected {low[index]:g} to {high[index]:g}"
        )
