"""One run from start to end, for the command line: refuse what cannot work, run, stop the robot, keep the records."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from dmh_edge.clock import Clock, MonotonicClock, Rate
from dmh_edge.errors import ArtifactError, ConfigError, DmhEdgeError
from dmh_edge.files import write_text
from dmh_edge.robots.protocol import Robot
from dmh_edge.runtime.agent import Agent
from dmh_edge.runtime.keeping import PAGE_NAME, RECORD_NAME, TRACE_NAME, Keeping
from dmh_edge.runtime.loop import Loop
from dmh_edge.runtime.records import Limits
from dmh_edge.runtime.report import Summary
from dmh_edge.runtime.session import Session
from dmh_edge.runtime.signals import StopSignals
from dmh_edge.runtime.state_file import load_state, save_state

SUMMARY_NAME = "summary.json"


def operate(
    session: Session,
    robot: Robot,
    *,
    policy_sha256: str,
    self_test: Callable[[], None],
    limits: Limits,
    rate_hz: float | None = None,
    noise_seed: int | None = None,
    state: Path | None = None,
    out: Path | None = None,
    mcap: bool = False,
    live: bool = False,
    clock: Clock | None = None,
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
        out: folder for ``summary.json``, ``page.html`` and the records; None to keep none.
        mcap: keep the ticks as ``run.mcap``, by a process of its own and for as long as the run lasts, instead of as
            ``trace.npz``, in memory that is laid out before the first tick.
        live: show on the terminal how it goes.
        clock: None for the machine's.

    Returns:
        the report; ``stopped_by`` tells a run that went well from one that the guard ended.

    Raises:
        ConfigError: a setting cannot be used.
        ArtifactError: the folder or the state file cannot be read or written.
        DmhEdgeError: whatever else the robot, the self-test or the backend raised.
    """
    if session.batch != 1:
        raise ConfigError(f"a robot needs a session of batch 1, got one of {session.batch}")
    contract = session.contract
    clock = MonotonicClock() if clock is None else clock
    rate_hz = contract.task.rate_hz if rate_hz is None else rate_hz
    Rate(rate_hz, clock)  # refuses what is no rate
    folder_is_ours = out is not None and not out.exists()
    for folder in {path for path in (out, state and state.absolute().parent) if path}:
        _check_writable(folder)
    names = (SUMMARY_NAME, PAGE_NAME, TRACE_NAME, RECORD_NAME)
    if out and (found := [name for name in names if (out / name).exists()]):
        raise ConfigError(f"{out} already holds a run ({', '.join(found)}); name another folder")

    def recall() -> float:
        return load_state(state, session, policy_sha256) if state and state.exists() else 0.0

    def keep() -> list[str]:
        """Write everything that can be written; what could not, in words."""
        failures = keeping.close()
        if not loop.began:  # the state is the self-test's, and there is nothing else to tell
            if out:
                keeping.discard()
                if folder_is_ours:
                    out.rmdir()
            return []
        writers: list[Callable[[], None]] = []
        if out:
            writers.append(lambda: write_text(out / SUMMARY_NAME, loop.summary().model_dump_json(indent=2) + "\n"))
        if state:
            writers.append(lambda: save_state(state, session, policy_sha256, loop.reward_due))
        if out:
            writers.append(lambda: keeping.write_trace(session))
            writers.append(lambda: keeping.write_page(loop.summary(), loop.tally))
        return [*failures, *(failure for failure in map(_failure, writers) if failure)]

    with StopSignals() as signals:
        keeping = Keeping(contract, policy_sha256, session.backend, rate_hz, limits, clock, out, mcap=mcap, live=live)
        loop = Loop(
            Agent(session, noise_seed),
            robot,
            rate_hz=rate_hz,
            limits=limits,
            clock=clock,
            signals=signals,
            recorder=keeping.records,
        )
        try:
            loop.run(self_test, recall)
        except BaseException as error:
            if failures := keep():
                raise DmhEdgeError("; besides, ".join([str(error), *failures])) from error
            raise
        if failures := keep():
            raise ArtifactError("; ".join(failures))
    return loop.summary()


def _failure(write: Callable[[], None]) -> str:
    """Why something could not be written; empty when it could."""
    try:
        write()
    except DmhEdgeError as error:
        return str(error)
    return ""


def _check_writable(folder: Path) -> None:
    """Refuse at the start what would fail at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}; name another folder") from error
