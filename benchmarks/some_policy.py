"""The policy that a benchmark runs: the user's, or an untrained one of the paper's sizes."""

from __future__ import annotations

from pathlib import Path

from dmh_edge import console
from dmh_edge.runtime.sessions.policy import Policy


def policy_for(given: Path | None, folder: Path, rate_hz: float, patience_s: float) -> Policy:
    """Return a policy that `dmh-edge run` accepts.

    Args:
        given: folder of the user's policy; None to make one, which needs torch and half a minute.
        folder: folder in which a policy is made.
        rate_hz: control rate of a policy that is made, in Hz.
        patience_s: longest hold and greatest age of an observation of a policy that is made, in seconds.
    """
    if given:
        return Policy.load(given)
    from dmh_edge.bench.untrained import PAPER, exported

    console.say("exporting an untrained policy of the paper's sizes")
    return exported(PAPER, folder / "untrained", rate_hz, patience_s)
