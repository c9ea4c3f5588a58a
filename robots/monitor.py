"""The monitor judges what reaches a robot. It is part of the robot, has its own clock, and does not know the guard.

A guard that counts its own mistakes proves nothing; tests and simulated robots use the monitor instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dmh_edge.clock import NS_PER_S, Clock
from dmh_edge.robots.protocol import Action
from dmh_edge.task import ContinuousAction, TaskSpec

Rule = Literal["shape", "not finite", "out of bounds", "too fast", "before arm", "after stop", "silence"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A thing that must never reach a robot.

    Attributes:
        at_ns: time on the monitor's clock, in nanoseconds.
        rule: the rule that was broken.
        detail: what happened, in words.
    """

    at_ns: int
    rule: Rule
    detail: str


class Monitor:
    """Sees everything that reaches a robot, and notes every violation.

    Args:
        task: task with the bounds, slew limits and rate.
        clock: clock for the time between two actions.
        command_timeout_s: longest time between two actions, in seconds.

    Attributes:
        violations: violations in order of time.
    """

    def __init__(self, task: TaskSpec, clock: Clock, command_timeout_s: float) -> None:
        self.violations: list[Violation] = []
        self._task = task
        self._clock = clock
        self._timeout_ns = round(command_timeout_s * NS_PER_S)
        self._armed = False
        self._stopped = False
        self._before: Action | None = None  # None: the robot stands at its safe action
        self._first = True  # whether the next action is the first of an episode, for which a whole period counts
        self._before_ns: int | None = None  # None: the robot expects no action

    def armed(self) -> None:
        """Note that the robot may move from now on."""
        self._armed, self._stopped = True, False

    def resetting(self) -> None:
        """Note that the robot begins to move to the start of an episode; it expects no action before `reset`."""
        self.check_silence()
        self._motion_is_legal("reset")
        self._before_ns = None

    def reset(self, standing: Action | None = None) -> None:
        """Note that an episode starts; from now on the robot expects actions.

        Args:
            standing: where the robot stands, in terms of its actions; None for its safe action.
        """
        self._first = True
        self._before = None if standing is None else np.array(standing)
        self._before_ns = self._clock.now_ns()

    def wrote(self, action: Action) -> None:
        """Judge an action that arrives, before the robot carries it out."""
        self.check_silence()
        now_ns = self._clock.now_ns()
        self._motion_is_legal("write")
        legal = (
            self._continuous_is_legal(self._task.action, action, now_ns)
            if isinstance(self._task.action, ContinuousAction)
            else self._discrete_is_legal(self._task.action.size, action)
        )
        if legal:
            self._before, self._first = np.array(action), False
        self._before_ns = now_ns

    def damped(self) -> None:
        """Note that the robot damps itself; the next action is judged as if the safe action came before it."""
        self.check_silence()
        self._motion_is_legal("damp")
        self._before, self._first = None, False
        self._before_ns = self._clock.now_ns()

    def stopped(self) -> None:
        """Note that the robot was stopped."""
        self.check_silence()
        if self._armed:
            self._armed, self._stopped = False, True
        self._before_ns = None

    def check_silence(self) -> None:
        """Note a violation if the robot has waited too long for an action."""
        if self._before_ns is not None and (silent_ns := self._clock.now_ns() - self._before_ns) > self._timeout_ns:
            self._note("silence", f"no action for {silent_ns / NS_PER_S:.3f} s, limit {self._timeout_ns / NS_PER_S} s")
            self._before_ns = None

    def _motion_is_legal(self, call: str) -> None:
        if self._stopped:
            self._note("after stop", call)
        elif not self._armed:
            self._note("before arm", call)

    def _continuous_is_legal(self, spec: ContinuousAction, action: Action, now_ns: int) -> bool:
        if action.shape != (spec.size,):
            self._note("shape", f"got {action.shape}, expected ({spec.size},)")
            return False
        if not np.isfinite(action).all():
            self._note("not finite", str(action.tolist()))
            return False
        period_ns = NS_PER_S / self._task.rate_hz
        since_ns = period_ns if self._first or self._before_ns is None else now_ns - self._before_ns
        for index, element in enumerate(spec.elements):
            value = float(action[index])
            if not element.low <= value <= element.high:
                self._note("out of bounds", f"{element.name} = {value}, expected {element.low} to {element.high}")
            if element.slew_per_s is None:
                continue
            before = spec.safe[index] if self._before is None else float(self._before[index])
            rounding = 1e-6 * max(abs(element.low), abs(element.high))  # actions are float32
            allowed = element.slew_per_s * since_ns / NS_PER_S + rounding
            if abs(value - before) > allowed:
                self._note(
                    "too fast",
                    f"{element.name} from {before} to {value} in {since_ns / NS_PER_S:.4f} s: over {allowed}",
                )
        return True

    def _discrete_is_legal(self, choices: int, action: Action) -> bool:
        if action.shape != ():
            self._note("shape", f"got {action.shape}, expected ()")
            return False
        if not np.isfinite(action):
            self._note("not finite", str(action))
            return False
        if not 0 <= int(action) < choices:
            self._note("out of bounds", f"choice {int(action)} of {choices}")
        return True

    def _note(self, rule: Rule, detail: str) -> None:
        self.violations.append(Violation(self._clock.now_ns(), rule, detail))
