"""Lessons from a data set: contexts that are drawn from learning histories which somebody else played."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from dmh_edge.config import RunConfig
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.data.episodes import Episodes
from dmh_edge.data.minari_read import EXPERT
from dmh_edge.data.selection import learnable, validation_ids
from dmh_edge.errors import DataError
from dmh_edge.learner import Learner
from dmh_edge.lessons.lesson import Stage, refuse_balance


class Histories:
    """Contexts of a data set.

    Args:
        config: settings of the run.
        episodes: the data, which also hold the specification of the task.
        train_ids: hidden tasks of the data; ``data.hold_out`` of them are not learned from.

    Attributes:
        first: the episodes that are learned from.
        sha256: digest of the whole data set.
        held_out: hidden tasks that are not learned from.
        kept: nothing: the data set is there already.
        progress: None: all updates are equally large.
        remark: what a user should know before training, else an empty text.

    Raises:
        ConfigError, DataError: too few hidden tasks or episodes are left to learn from, an episode is longer than the
            task's horizon, or ``data.balance_actions`` is set for a task with continuous actions.
    """

    def __init__(self, config: RunConfig, episodes: Episodes, train_ids: Sequence[int]) -> None:
        refuse_balance(config.data, episodes.spec)
        self.sha256 = episodes.sha256
        self.held_out = validation_ids(train_ids, config.data.hold_out)
        self.first = learnable(episodes, self.held_out, config.data.top_fraction)
        if (longest := int(self.first.length.max())) > episodes.spec.horizon:
            raise DataError(
                f"an episode of the data has {longest:,} steps, but the horizon of {episodes.spec.name!r} is "
                f"{episodes.spec.horizon:,}; cut the episodes, or, if the task is your own, give its task_spec another "
                "horizon"
            )
        self.kept: Mapping[int, str] = {}
        self.progress = None
        silent = config.data.label == "expert" and episodes.expert_action is None
        self.remark = f"the data have no {EXPERT}: the actions that were taken are imitated" if silent else ""
        self._config = config

    def stage(self, learner: Learner) -> Stage:
        """Return the only stage: all updates draw from the same data.

        Raises:
            DataError: a hidden task has fewer episodes than a context needs.
        """
        data, training = self._config.data, self._config.training
        sampler = ContextSampler(
            self.first,
            chunk=learner.model.chunk_steps(int(self.first.length.max())),
            episodes_per_context=data.episodes_per_context,
            expert_labels=data.label == "expert",
            target="best" if data.target_return == "context" else "own",
            balance=data.balance_actions,
            last_only=data.learn == "last",
        )
        return Stage(training.updates, functools.partial(sampler.draw, training.seed, batch=data.batch))

    def restore(self, kept: Mapping[int, str]) -> None:
        """Do nothing: a draw depends only on the data and the update."""

    def tidy(self) -> None:
        """Do nothing: there are no files."""
