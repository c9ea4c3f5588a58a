"""One run from start to end: refuse what cannot work, drive the robot, keep the records."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

from dmh_edge.errors import ArtifactError, ConfigError, DmhEdgeError
from dmh_edge.files import what_failed
from dmh_edge.progress import Say, quiet
from dmh_edge.robots.protocol import Robot, check_members
from dmh_edge.runtime.guard.guard import Guard
from dmh_edge.runtime.guard.guard_settings import GuardSettings
from dmh_edge.runtime.loop.dry_run import DryRun, standing_still
from dmh_edge.runtime.loop.limits import Limits
from dmh_edge.runtime.loop.loop import Loop
from dmh_edge.runtime.loop.overseers import Overseers
from dmh_edge.runtime.loop.pace import Pace, Timing
from dmh_edge.runtime.operator.attendance import Attendance
from dmh_edge.runtime.operator.notify import Notifier
from dmh_edge.runtime.operator.operator import Operator
from dmh_edge.runtime.operator.signals import StopSignals
from dmh_edge.runtime.realtime import Grant, real_time, warnings
from dmh_edge.runtime.records.run_records import Keeping, RunRecords
from dmh_edge.runtime.report.events import EventLog
from dmh_edge.runtime.report.summary import Summary
from dmh_edge.runtime.sessions.agent import Agent
from dmh_edge.runtime.sessions.policy import RunnablePolicy
from dmh_edge.runtime.sessions.session import Session
from dmh_edge.runtime.sessions.state_file import Learned, save_state
from dmh_edge.runtime.watchdog.supervision import Supervision


@dataclass(frozen=True)
class Run:
    """How a policy is run on a robot.

    Attributes:
        limits: when the run ends by itself.
        timing: timing of the loop: rate, pace and real time.
        learned: the file with what the policy learned in context.
        keeping: which records are kept of the run, and whether it is shown live.
        attendance: who attends the run.
        guard: settings of the guard beyond the contract's limits.
        noise_seed: seed of the exploration noise; None for no noise: the likeliest action.
        dry_run: whether to do everything but write actions; what was learned is then not kept.
        say: function that shows the operator one line that matters before anything moves.
    """

    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    learned: Learned = field(default_factory=Learned)
    keeping: Keeping = field(default_factory=Keeping)
    attendance: Attendance = field(default_factory=Attendance)
    guard: GuardSettings = field(default_factory=GuardSettings)
    noise_seed: int | None = None
    dry_run: bool = False
    say: Say = quiet


def operate(policy: RunnablePolicy, session: Session, robot: Robot, run: Run) -> Summary:
    """Run a policy on a robot until a limit is reached, a fault stops it, or Ctrl-C or SIGTERM does.

    Call it from the main thread. The robot stands still when this returns or raises, and everything is written.

    Args:
        policy: the policy's identity and self-test.
        session: session that computes the policy for one robot; its state is overwritten.
        robot: the robot, neither connected nor armed.
        run: how the policy is run.

    Returns:
        the report; ``stopped_by`` says whether the run went well, or the guard or the watchdog ended it.

    Raises:
        ConfigError: a setting cannot be used.
        ArtifactError: the folder or the state file cannot be read or written.
        DmhEdgeError: the robot, the self-test or the backend failed.
    """
    check_members(robot)
    if run.dry_run:
        run.say("dry run: nothing is written to the robot")
        robot, attendance = DryRun(robot), replace(run.attendance, armed=True, attended=True)
        run = replace(run, attendance=attendance)
    prepared = _prepare(policy, session, robot, run)
    with (
        prepared.records,
        contextlib.closing(Notifier(longest_silence_s=run.guard.reset_timeout_s)) as notifier,
        StopSignals() as signals,
        run.attendance.listening(prepared.operator, signals),
    ):
        run.learned.require_writable()
        loop = prepared.loop(signals, notifier)
        grants, failure = _drive(prepared, loop)
        unwritten = _keep(prepared, loop, grants)
    if failure is not None:
        if unwritten:
            raise DmhEdgeError("; also, ".join([str(failure), *unwritten])) from failure
        raise failure
    if unwritten:
        raise ArtifactError("; ".join(unwritten))
    return prepared.report(loop, grants)


@dataclass(frozen=True)
class _Prepared:
    """A run that has passed all checks, and the parts that are built once for it."""

    policy: RunnablePolicy
    session: Session
    robot: Robot
    run: Run
    pace: Pace
    guard: Guard
    log: EventLog
    operator: Operator
    records: RunRecords

    def loop(self, signals: StopSignals, notifier: Notifier) -> Loop:
        """The loop, with the records listening. From now on a stop can be requested."""
        recorder = self.records.start()
        if recorder is not None:
            self.log.listener = recorder.event
        supervision = Supervision(
            self.pace.period_ns,
            self.pace.clock,
            attended=self.run.attendance.attended,
            reset_timeout_s=self.run.guard.reset_timeout_s,
        )
        overseers = Overseers(
            signals, self.operator, supervision, notifier, permit=lambda: self.run.attendance.permit(self.robot)
        )
        agent = Agent(self.session, self.run.noise_seed)
        return Loop(agent, self.robot, self.guard, self.pace, self.run.limits, overseers, recorder, self.log)

    def report(self, loop: Loop, grants: tuple[Grant, ...]) -> Summary:
        """The report of the run; correct once the records are closed."""
        run = self.run
        return loop.summary().model_copy(
            update={
                "dry_run": run.dry_run,
                "pace": run.timing.paced_by,
                "about": dict(run.keeping.about),
                "realtime": tuple(map(str, grants)),
            }
        )


def _prepare(policy: RunnablePolicy, session: Session, robot: Robot, run: Run) -> _Prepared:
    """Refuse what cannot work, before anything is touched."""
    if session.batch != 1:
        raise ConfigError(f"a robot needs a session of batch 1, got one of {session.batch}")
    contract = session.contract
    log = EventLog(run.timing.clock)
    pace = run.timing.pace(robot, contract.task.rate_hz)
    guard = Guard(
        contract.task,
        pace.period_ns,
        robot.lockstep,
        standing_still(run.guard) if run.dry_run else run.guard,
        simulated=robot.simulated,
        damps=robot.damp is not None,
        note=log.add,
    )
    run.attendance.check(robot, run.guard.deadman_s)
    if line := run.learned.check(policy.sha256, kept=not run.dry_run):
        run.say(line)
    records = RunRecords(
        contract,
        policy.sha256,
        session.backend,
        pace.rate_hz,
        run.limits.most_ticks(contract.task, pace.rate_hz),
        pace.clock,
        run.keeping,
    )
    operator = run.attendance.operator or Operator(pace.clock)
    return _Prepared(policy, session, robot, run, pace, guard, log, operator, records)


def _drive(prepared: _Prepared, loop: Loop) -> tuple[tuple[Grant, ...], BaseException | None]:
    """Run the loop; return what the kernel granted to it, and the exception if the run failed."""
    policy, session, run = prepared.policy, prepared.session, prepared.run
    grants: tuple[Grant, ...] = ()
    try:
        with real_time(run.timing.realtime) as grants:
            for line in (*map(str, grants), *(warnings() if grants else ())):
                run.say(line)
            loop.run(lambda: policy.self_test(session), lambda: run.learned.recall(session, policy.sha256))
    except BaseException as error:  # noqa: BLE001 (raised again, once the records are kept)
        return grants, error
    return grants, None


def _keep(prepared: _Prepared, loop: Loop, grants: tuple[Grant, ...]) -> list[str]:
    """Write everything that can be written; return in words what could not be written."""
    run, records = prepared.run, prepared.records
    failures = records.close()
    if not loop.began:  # the session's state is still the one of the self-test, and there is nothing else to record
        records.discard()
        return failures
    learned = run.learned.path
    if learned and not run.dry_run:  # first: what was learned cannot be replaced
        failures.append(
            what_failed(lambda: save_state(learned, prepared.session, prepared.policy.sha256, loop.reward_due))
        )
    if prepared.log.listener_failure:
        failures.append(f"the records lack events of this run ({prepared.log.listener_failure})")
    failures += records.write(lambda: prepared.report(loop, grants), run.guard, loop.tally, prepared.session)
    return [failure for failure in failures if failure]
