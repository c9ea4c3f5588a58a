"""The contract test catches robots that break the contract, each in its own way."""

from __future__ import annotations

import gc
import signal

import numpy as np
import pytest

from dmh_edge.errors import RobotError
from dmh_edge.robots.contract_test import ContractViolation, check_robot
from dmh_edge.robots.fake_robot import TWO_JOINTS, FakeRobot
from dmh_edge.robots.protocol import Action, Reading


class MovesBeforeArm(FakeRobot):
    def write(self, action: Action) -> Action:
        self._life.armed = self._life.ready = True
        return super().write(action)


class GoesOnAfterStop(FakeRobot):
    def stop(self) -> None:
        coasting = self._velocity + 1.0
        super().stop()
        self._velocity = coasting

    def _move(self) -> None:
        self._told_ns = self._clock.now_ns()
        super()._move()


class StopsOnlyOnce(FakeRobot):
    _stopped = False

    def stop(self) -> None:
        if self._stopped:
            raise OSError("the bus is closed")
        self._stopped = True
        super().stop()


class StopsOnlyOnceWhenArmed(FakeRobot):
    def stop(self) -> None:
        if self._life.connected and self.monitor._stopped:
            raise OSError("the bus is closed")
        super().stop()


class ShowsNothing(FakeRobot):
    def read(self) -> Reading:
        super().read()
        return None  # type: ignore[return-value]


class HasNoReset(FakeRobot):
    reset = None  # type: ignore[assignment]


class ShowsFloat64(FakeRobot):
    def read(self) -> Reading:
        reading = super().read()
        return Reading(reading.stamp_ns, reading.observation.astype(np.float64), reading.reward)


class ShowsNothingFinite(FakeRobot):
    def read(self) -> Reading:
        reading = super().read()
        return Reading(reading.stamp_ns, reading.observation * np.float32(np.nan), reading.reward)


class StampsBackwards(FakeRobot):
    _count = 10**15

    def read(self) -> Reading:
        self._count -= 1
        return Reading(self._count, super().read().observation)


class ReturnsTheCallersArray(FakeRobot):
    def write(self, action: Action) -> Action:
        super().write(action)
        return action


class RewardsBeforeActing(FakeRobot):
    def reset(self) -> None:
        super().reset()
        self._rewarded = True


class SaysLockstepAndDrifts(FakeRobot):
    lockstep = True

    def _move(self) -> None:
        super()._move()
        self._pose = self._pose + 0.01


class HasNoTaskYet(FakeRobot):
    def __init__(self) -> None:
        super().__init__()
        self.task = None  # type: ignore[assignment]


class ArmsUnconnected(FakeRobot):
    def arm(self) -> None:
        self._life.armed = True


class DoesNotSayWhetherItIsSimulated(FakeRobot):
    simulated = None  # type: ignore[assignment]


class HasNoStopPath(FakeRobot):
    def __getattribute__(self, name: str) -> object:
        if name == "stop_path":
            raise AttributeError(name)
        return super().__getattribute__(name)


class DoesNotSayWhetherItDamps(FakeRobot):
    def __getattribute__(self, name: str) -> object:
        if name == "damp":
            raise AttributeError(name)
        return super().__getattribute__(name)


class StopPathDoesNothing(FakeRobot):
    stop_path = gc.collect


class StopPathRaises(FakeRobot):
    stop_path = signal.default_int_handler


@pytest.mark.parametrize(
    ("robot", "rule"),
    [
        (DoesNotSayWhetherItIsSimulated, "simulated: got None, expected a bool"),
        (MovesBeforeArm, "write before arm"),
        (GoesOnAfterStop, "after stop, shoulder_angle moved"),
        (ShowsNothing, "read: got None, expected a Reading"),
        (HasNoReset, "reset: it is missing, expected a method"),
        (ShowsFloat64, "expected a float32 array"),
        (ShowsNothingFinite, "not finite"),
        (StampsBackwards, "do not go backwards"),
        (ReturnsTheCallersArray, "the caller's own array"),
        (RewardsBeforeActing, "first reading after reset"),
        (SaysLockstepAndDrifts, "lockstep"),
        (HasNoTaskYet, "expected a TaskSpec"),
        (ArmsUnconnected, "arm before connect"),
        (HasNoStopPath, "stop_path: it is missing"),
        (DoesNotSayWhetherItDamps, "damp: it is missing; add a method .* or `damp = None`"),
        (StopPathDoesNothing, "write after stop: it was carried out"),
        (StopPathRaises, "stop_path: called in another process, it did not return there within 60 s: got 'nothing'"),
    ],
)
def test_a_broken_robot_is_caught(robot, rule):
    with pytest.raises(ContractViolation, match=rule):
        check_robot(robot)


@pytest.mark.parametrize("robot", [StopsOnlyOnce, StopsOnlyOnceWhenArmed])
def test_a_stop_that_works_only_once_is_caught(robot):
    with pytest.raises(OSError, match="bus"):
        check_robot(robot)


def test_a_robot_that_takes_nothing_after_damping_itself_is_caught():
    class DampsForGood(FakeRobot):
        def damp(self) -> None:
            self._life.stop()

    with pytest.raises(RobotError, match="not armed"):
        check_robot(DampsForGood)


def test_sensors_may_be_as_noisy_as_the_caller_says():
    class Noisy(FakeRobot):
        _noise = np.float32(0.05)  # of a range of 4

        def read(self) -> Reading:
            reading, self._noise = super().read(), -self._noise
            return Reading(reading.stamp_ns, reading.observation + self._noise, reading.reward)

    check_robot(Noisy, stillness=0.03)
    with pytest.raises(ContractViolation, match=r"after stop, .* moved"):
        check_robot(Noisy)


def test_a_robot_that_cannot_damp_itself_passes():
    class CannotDamp(FakeRobot):
        damp = None  # type: ignore[assignment]

    check_robot(CannotDamp)


def test_a_robot_that_is_caught_is_left_standing():
    made = []

    def make() -> FakeRobot:
        made.append(ShowsNothingFinite(TWO_JOINTS))
        return made[-1]

    with pytest.raises(ContractViolation):
        check_robot(make)
    assert not made[-1]._life.connected
