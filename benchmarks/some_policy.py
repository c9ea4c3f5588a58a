"""The policy that a benchmark runs: the user's, or an untrained one of the paper's sizes."""

from __future__ import annotations

from pathlib import Path

from dmh_edge import console
from dmh_edge.runtime.sessions.policy import Policy


def policy_for(given: Path | None, folder: Path, rate_hz: float, patience_s: float) -> Policy:
    """A policy that `dmh-edge run` takes.

    Args:
        given: a policy's folder; None to make one, which takes torch and half a minute.
        folder: where a policy is made.
        rate_hz: control rate of a policy that is made.
        patience_s: longest hold and greatest age of an observation of a policy that is made.
    """
    if given:
        return Policy.load(given)
    from dmh_edge.bench.untrained import PAPER, exported

    console.say("exporting an untrained policy of the paper's sizes")
    return exported(PAPER, folder / "untrained", rate_hz, patience_s)
