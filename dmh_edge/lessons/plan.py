"""The plan of a training on own steps: which updates follow which round, and what is played in it.

A round is played before its updates. The plan is a pure function of the settings, so a resumed run has the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmh_edge.config import OnPolicyConfig, RunConfig


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        number: number of the round, from 0.
        first: number of updates before the round.
        end: number of updates after the round.
        episodes: episodes of each context.
        taught: whether a teacher plays in place of the policy.
    """

    number: int
    first: int
    end: int
    episodes: int
    taught: bool


class Plan:
    """All rounds of a training.

    Args:
        config: settings of the run, with ``on_policy``.
        settings: its ``on_policy``.
    """

    def __init__(self, config: RunConfig, settings: OnPolicyConfig) -> None:
        self._settings = settings
        self._updates = config.training.updates
        self._per_round = max(1, round(settings.reuse * settings.contexts / config.data.batch))
        self._long = config.data.episodes_per_context
        self._short = settings.short_episodes or self._long
        rounds = -(-self._updates // self._per_round)
        share = settings.short_share if settings.short_episodes else 0.0
        # Of R rounds, S are short: share = S short / (S short + (R - S) long).
        short_rounds = round(share * rounds * self._long / (self._short * (1 - share) + self._long * share))
        self._short_updates = min(self._updates, short_rounds * self._per_round)

    def progress(self, update: int) -> float:
        """Return the share of the training, measured in steps, that is done before an update."""
        return self._episodes_before(update) / self._episodes_before(self._updates)

    def round_of(self, update: int) -> Round:
        """Return the round that an update belongs to."""
        number = update // self._per_round
        first = number * self._per_round
        return Round(
            number=number,
            first=first,
            end=min(first + self._per_round, self._updates),
            episodes=self._short if first < self._short_updates else self._long,
            taught=number == 0 or self.progress(first) < self._settings.warm_up,
        )

    def kept(self, current: Round) -> range:
        """Return the numbers of the rounds that are learned from: the newest ones with contexts of the same length."""
        count = max(1, self._settings.keep // self._settings.contexts)
        oldest = 0 if current.first < self._short_updates else self._short_updates // self._per_round
        return range(max(oldest, current.number - count + 1), current.number + 1)

    def _episodes_before(self, update: int) -> int:
        short = min(update, self._short_updates)
        return short * self._short + (update - short) * self._long
