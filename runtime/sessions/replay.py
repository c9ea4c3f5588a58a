"""Parity: how far one computation may be from another, and how to replay a trace through any session.

Errors are absolute differences divided by max(1, max|tensor|), where max|tensor| is the largest magnitude that the
reference's tensor has had so far in the rollout: inside a graph float32 rounds on that scale, even if the numbers of
one tick are small. Two rules keep a comparison fair: the candidate runs on its own state, and a discrete action counts
only where the reference's two best choices are further apart than the tolerance, because rounding can swap choices that
are nearer. The best choice is the one with the largest sum of logit and noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.contract import ParityFigure, PolicyContract
from dmh_edge.errors import ParityError
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.trace import Trace

#: Tolerance by element type of the candidate's matrix products. float64 is for two forms of one model, the other types
#: are for two backends.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-2}
#: Largest allowed distance of a backend from PyTorch, as a multiple of PyTorch's own rounding. Both round by chance,
#: and the worst of thousands of ticks is a rare one (docs/performance.md).
_ROUNDINGS = 10

#: Number of ticks of the golden trace that are replayed before a robot is armed.
SELF_TEST_TICKS = 200


@dataclass
class Comparison:
    """The largest differences so far between a reference and a candidate.

    Attributes:
        reference: name of the side that is taken as right.
        candidate: name of the side that is compared with it.
        tolerance: largest allowed error.
        rounding: error of PyTorch's own rounding, by tensor; ten times this is allowed where it exceeds the tolerance.
        ticks: number of ticks compared so far.
        errors: largest error so far, by tensor.
        first_failure: the first tick and tensor above what is allowed, in words; empty when there is none.
    """

    reference: str
    candidate: str
    tolerance: float
    rounding: Mapping[str, float] = field(default_factory=dict)
    ticks: int = 0
    errors: dict[str, float] = field(default_factory=dict)
    first_failure: str = ""
    _scales: dict[str, float] = field(default_factory=dict)

    def tick(self, index: int, reference: Arrays, candidate: Arrays, noise: NDArray[np.float32] | None) -> None:
        """Compare every tensor that the reference has at one tick; ``noise`` ``[B, K]`` is the noise of both sides.

        A policy that chooses among logits reads noise; other policies need none.
        """
        self.ticks += 1
        for name, expected in reference.items():
            if name == "action" and "logits" in reference and noise is not None:
                error = self._choice_error(expected, candidate[name], reference["logits"], noise)
            else:
                scale = max(self._scales.get(name, 1.0), float(np.abs(expected).max(initial=0.0)))
                self._scales[name] = scale
                error = absolute_error(expected, candidate[name]) / scale
            # A NaN compares false with everything: the test is for "not within", so that a NaN fails.
            if not error <= (allowed := self.allowed(name)) and not self.first_failure:
                self.first_failure = f"tick {index}, tensor {name}: error {error:.3g}, allowed {allowed:.3g}"
            finite = error if np.isfinite(error) else float(np.finfo(float).max)
            self.errors[name] = max(self.errors.get(name, 0.0), finite)

    def allowed(self, name: str) -> float:
        """The largest allowed error of a tensor.

        A well trained policy can amplify rounding so much that no two backends agree within `TOLERANCES`, although none
        is wrong. So the limit is the tolerance, or ten times the rounding that the export measured if that is more.
        """
        return max(self.tolerance, _ROUNDINGS * self.rounding.get(name, 0.0))

    @classmethod
    def of_backend(cls, contract: PolicyContract, reference: str, candidate: str) -> Comparison:
        """A comparison that allows a backend the errors that the policy's precision and rounding allow."""
        return cls(reference, candidate, TOLERANCES[contract.precision], contract.rounding)

    @property
    def worst(self) -> str:
        """The tensor whose error is nearest to what is allowed."""
        return max(self.errors, key=lambda name: self.errors[name] / self.allowed(name))

    def _choice_error(
        self, expected: NDArray[Any], got: NDArray[Any], logits: NDArray[Any], noise: NDArray[np.float32]
    ) -> float:
        top = np.sort(logits + gumbel(noise[..., -logits.shape[-1] :]), -1)[..., -2:]
        clear = top[..., 1] - top[..., 0] > 2 * self.allowed("logits") * max(1.0, float(np.abs(logits).max()))
        return float(np.any((expected != got) & clear))

    def figure(self) -> ParityFigure:
        """The figure for the contract."""
        return ParityFigure(
            reference=self.reference,
            candidate=self.candidate,
            ticks=self.ticks,
            worst_tensor=self.worst,
            worst_error=self.errors[self.worst],
            tolerance=self.allowed(self.worst),
        )

    def require(self) -> ParityFigure:
        """The figure, if every error was within what is allowed.

        Raises:
            ParityError: an error was not; the message names the first tick and tensor.
        """
        if self.first_failure:
            raise ParityError(
                f"{self.candidate} does not compute what {self.reference} computes: first at {self.first_failure}; "
                f"worst: {self.worst} with {self.errors[self.worst]:.3g} over {self.ticks} ticks"
            )
        return self.figure()


def coarseness(contract: PolicyContract) -> str:
    """A sentence about the policy's tensor whose rounding exceeds `TOLERANCES` most; empty if none does."""
    held = Comparison.of_backend(contract, "", "")
    coarse = {name: found for name in contract.rounding if (found := held.allowed(name)) > 1.05 * held.tolerance}
    if not coarse:
        return ""
    name = max(coarse, key=lambda name: coarse[name])
    return (
        f"float32 puts this policy up to {contract.rounding[name]:.1e} from float64, in {name}: "
        f"there a backend may be {coarse[name]:.1e} from PyTorch, and {held.tolerance:.0e} where rounding is fine"
    )


def gumbel(noise: NDArray[np.float32]) -> NDArray[np.float64]:
    """Transform standard normal noise into Gumbel noise; the actor adds it to its logits and takes the largest sum."""
    uniform = np.clip((1 + np.vectorize(math.erf)(noise / math.sqrt(2))) / 2, 1e-6, 1 - 1e-6)
    shaped: NDArray[np.float64] = -np.log(-np.log(uniform))
    return shaped


def absolute_error(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Largest |expected - got|; NaN where either side contains a NaN."""
    return float(np.abs(expected.astype(np.float64) - got).max(initial=0.0))


def replay(trace: Trace, session: Session, ticks: int | None = None) -> Comparison:
    """Run a trace's inputs through a session from the trace's own initial state, and compare the outputs.

    Args:
        trace: a trace of as many robots as the session has.
        session: the session, whose state is overwritten.
        ticks: number of ticks to replay from the start; None for all, with the final state compared as well.

    Raises:
        ParityError: the trace has another number of robots.
    """
    if trace.batch != session.batch:
        raise ParityError(
            f"the trace has {trace.batch} robots, the session {session.batch}; open a session of that size"
        )
    comparison = Comparison.of_backend(session.contract, "trace", session.backend)
    session.restore(trace.initial_state)
    count = trace.ticks if ticks is None else min(ticks, trace.ticks)
    for index in range(count):
        world = {name: column[index] for name, column in trace.world.items()}
        outputs = session.step(world)
        comparison.tick(
            index, {name: column[index] for name, column in trace.outputs.items()}, outputs, world.get("noise")
        )
        session.commit()
    if count == trace.ticks:
        state = session.state()
        comparison.tick(count - 1, trace.final_state, state, None)
        comparison.ticks = count
    return comparison
