"""One run from start to end, for the command line: refuse what cannot work, run, stop the robot, keep the records."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from dmh_edge.clock import Clock, MonotonicClock, Rate
from dmh_edge.errors import ArtifactError, ConfigError, DmhEdgeError
from dmh_edge.files import write_text
from dmh_edge.robots.protocol import Robot, check_members
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.guard.guard_settings import GUARD_NAME, GuardSettings
from dmh_edge.runtime.loop.dry_run import DryRun
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.loop import Loop
from dmh_edge.runtime.loop.pace import Pace, RobotPace
from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.operator.terminal import Terminal
from dmh_edge.runtime.realtime import Grant, RealTime, real_time, warnings
from dmh_edge.runtime.records.keeping import PAGE_NAME, RECORD_NAME, TRACE_NAME, Keeping
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.runtime.sessions.state_file import check_state, load_state, save_state
from dmh_edge.runtime.watchdog.supervision import Supervision

SUMMARY_NAME = "summary.json"


def operate(
    session: Session,
    robot: Robot,
    *,
    policy_sha256: str,
    self_test: Callable[[], object],
    limits: Limits,
    rate_hz: float | None = None,
    noise_seed: int | None = None,
    state: Path | None = None,
    out: Path | None = None,
    mcap: bool = False,
    live: bool = False,
    clock: Clock | None = None,
    guard: GuardSettings | None = None,
    armed: bool = False,
    forget: bool = False,
    operator: Operator | None = None,
    terminal: Terminal | None = None,
    attended: bool = False,
    pace: Pace = "clock",
    realtime: RealTime = "off",
    dry_run: bool = False,
    about: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Run a policy on a robot until a limit is reached, a fault stops it, or Ctrl-C or SIGTERM does.

    Call it from the main thread. The robot stands still when this returns or raises, and everything is written.

    Args:
        session: of one robot; its state is overwritten.
        robot: neither connected nor armed.
        policy_sha256: what a state file is bound to.
        self_test: replays the golden trace; called before anything moves.
        limits: when to end.
        rate_hz: control rate; None for the policy's own.
        noise_seed: of the noise that explores; None for none.
        state: file with what was learned in context: read where it exists, written at the end.
        out: folder for ``summary.json``, ``guard.json``, ``page.html`` and the records; None to keep none.
        mcap: keep the ticks as ``run.mcap``, by a process of its own and for as long as the run lasts, instead of as
            ``trace.npz``, in memory that is laid out before the first tick.
        live: show on the terminal how it goes.
        clock: None for the machine's.
        guard: settings of the guard; None for the defaults.
        armed: whether the permission to arm is given already; a robot that is not simulated needs it from somebody.
        forget: whether to begin with an empty memory although ``state`` exists.
        operator: whose wishes are looked at once a slot, for buttons of the user's own; None for the keys alone.
        terminal: where the operator sits; None where nobody does.
        attended: whether a person stands by who can stop a robot that nothing else would stop.
        pace: whether the clock or the robot's own readings say when a slot begins.
        realtime: what to ask of the kernel for the loop; given back before anything is written.
        dry_run: do everything but ``write``; what was learned is not kept.
        about: what else the report and the records shall tell of the run, by name.
        say: told what an operator should know before anything moves, line by line.

    Returns:
        the report; ``stopped_by`` tells a run that went well from one that the guard or the watchdog ended.

    Raises:
        ConfigError: a setting cannot be used.
        ArtifactError: the folder or the state file cannot be read or written.
        DmhEdgeError: whatever else the robot, the self-test or the backend raised.
    """
    if session.batch != 1:
        raise ConfigError(f"a robot needs a session of batch 1, got one of {session.batch}")
    check_members(robot)
    if dry_run:
        robot, armed = DryRun(robot), True  # to be asked for nothing
        say("dry run: nothing is written to the robot")
    grants: tuple[Grant, ...] = ()
    contract = session.contract
    clock = MonotonicClock() if clock is None else clock
    rate_hz = contract.task.rate_hz if rate_hz is None else rate_hz
    guard = GuardSettings() if guard is None else guard
    # Refuse what is no rate for this robot, and in the next line what its task does not allow.
    period_ns = (RobotPace(rate_hz, robot, clock) if pace == "robot" else Rate(rate_hz, clock)).period_ns
    Guard(contract.task, period_ns, robot.lockstep, guard, damps=robot.damp is not None)
    if not (armed or robot.simulated or terminal):
        raise ConfigError(
            "nobody may arm this robot: it is not simulated and there is no terminal to ask at; give --arm, "
            "or start it at a terminal"
        )
    if guard.deadman_s is not None and not (terminal or operator):
        raise ConfigError("a deadman needs somebody who confirms, and there is no terminal; start it at one")
    if forget and state is None:
        raise ConfigError("--forget without --state: there is nothing to forget, every run begins with an empty memory")
    operator = Operator(clock) if operator is None else operator
    if state:
        if not state.exists():
            say(f"{state} does not exist yet: the policy begins with an empty memory")
        elif forget:
            check_state(state, policy_sha256)
            then = "is left as it is" if dry_run else "will be replaced"
            say(f"{state} {then}: the policy begins with an empty memory")
        else:
            kept = ", which is left as it is" if dry_run else ""
            say(f"the policy begins with what it learned in {state}{kept}")
    folder_is_ours = out is not None and not out.exists()
    for folder in {path for path in (out, state and state.absolute().parent) if path}:
        _check_writable(folder)
    names = (SUMMARY_NAME, GUARD_NAME, PAGE_NAME, TRACE_NAME, RECORD_NAME)
    if out and (found := [name for name in names if (out / name).exists()]):
        raise ConfigError(f"{out} already holds a run ({', '.join(found)}); name another folder")

    def recall() -> float:
        return load_state(state, session, policy_sha256) if state and state.exists() and not forget else 0.0

    def report() -> Summary:
        asked = tuple(map(str, grants))
        ours = {"dry_run": dry_run, "pace": pace, "about": dict(about), "realtime": asked}
        return loop.summary().model_copy(update=ours)

    def keep() -> list[str]:
        """Write everything that can be written; what could not, in words."""
        failures = keeping.close()
        if not loop.began:  # the state is the self-test's, and there is nothing else to tell
            if out:
                keeping.discard()
                if folder_is_ours:
                    with contextlib.suppress(OSError):  # somebody else has left something in it
                        out.rmdir()
            return failures
        writers: list[Callable[[], None]] = []
        if state and not dry_run:  # first: it is what cannot be had again
            writers.append(lambda: save_state(state, session, policy_sha256, loop.reward_due))
        if out:
            writers.append(lambda: write_text(out / GUARD_NAME, guard.model_dump_json(indent=2) + "\n"))
            writers.append(lambda: write_text(out / SUMMARY_NAME, report().model_dump_json(indent=2) + "\n"))
            writers.append(lambda: keeping.write_trace(session))
            writers.append(lambda: keeping.write_page(report(), loop.tally))
        return [*failures, *(failure for failure in map(_failure, writers) if failure)]

    with (
        contextlib.closing(Notifier(longest_silence_s=guard.reset_timeout_s)) as notifier,
        StopSignals() as signals,
        contextlib.ExitStack() as at_the_terminal,
    ):
        if terminal:
            at_the_terminal.callback(terminal.leave)
            terminal.enter(operator, signals)

        def permit() -> None:
            if terminal and not (armed or robot.simulated):
                terminal.wait_for_arm()
            if terminal:
                terminal.watch()

        keeping = Keeping(
            contract, policy_sha256, session.backend, rate_hz, limits, clock, out, mcap=mcap, live=live, about=about
        )
        loop = Loop(
            Agent(session, noise_seed),
            robot,
            rate_hz=rate_hz,
            limits=limits,
            clock=clock,
            signals=signals,
            recorder=keeping.records,
            guard=_for_one_who_stands_still(guard) if dry_run else guard,
            operator=operator,
            permit=permit,
            supervision=Supervision(
                period_ns, clock, attended=attended or dry_run, reset_timeout_s=guard.reset_timeout_s
            ),
            pace=pace,
            notifier=notifier,
        )
        try:
            with real_time(realtime) as grants:
                for line in (*map(str, grants), *(warnings() if grants else ())):
                    say(line)
                loop.run(self_test, recall)
        except BaseException as error:
            if failures := keep():
                raise DmhEdgeError("; besides, ".join([str(error), *failures])) from error
            raise
        if failures := keep():
            raise ArtifactError("; ".join(failures))
    return report()


def _for_one_who_stands_still(guard: GuardSettings) -> GuardSettings:
    """No action takes such a robot nearer to what the policy wishes: not to get there is no fault."""
    return guard.model_copy(update={"longest_clamp_s": math.inf, "tracking_s": math.inf})


def _failure(write: Callable[[], None]) -> str:
    """Why something could not be written; empty when it could."""
    try:
        write()
    except DmhEdgeError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (what comes after it is written all the same)
        return f"{type(error).__name__}: {error}"
    return ""


def _check_writable(folder: Path) -> None:
    """Refuse at the start what would fail at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}; name another folder") from error
