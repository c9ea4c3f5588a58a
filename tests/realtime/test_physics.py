"""The physics step by step, on a time that the test moves."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from dmh_edge import tasks
from dmh_edge.clock import FakeClock
from dmh_edge.robots.monitor import Rule
from dmh_edge.robots.mujoco_link import STEP_NS, Link, PhysicsConfig, PhysicsEvent, PhysicsWord
from dmh_edge.robots.mujoco_physics import RULES, Physics, keep_time

MS = 1_000_000
START_NS = 10**9
ARMS = ("dark-reacher", "dark-payload", "dark-camera")


class Driver:
    """Says what a driver would say, and reads what the physics writes."""

    def __init__(
        self, arm: str = "dark-reacher", *, timeout_s: float = 0.1, delay_s: float = 0.0, hidden: int = 3
    ) -> None:
        task = tasks.find(arm).spec
        self.link = Link(task.action.size, len(task.observation))
        self.clock = FakeClock(START_NS)
        config = PhysicsConfig(arm, hidden, 0, timeout_s, delay_s, 0)
        self.physics = Physics(config, self.link, self.clock)

    @property
    def now_ms(self) -> float:
        return (self.physics.now_ns - START_NS) / MS

    def arm(self) -> None:
        self.link.words[PhysicsWord.STOPPED] = 0
        self.link.words[PhysicsWord.ARMED] += 1

    def reset(self) -> None:
        self.link.words[PhysicsWord.RESET_ASKED] += 1
        self.run(1)
        assert self.link.words[PhysicsWord.RESET_DONE] == self.link.words[PhysicsWord.RESET_ASKED]

    def write(self, *torques: float, accepted: int = 1) -> None:
        self.link.commands.append(self.physics.now_ns, self.link.words[PhysicsWord.RESET_ASKED], accepted, *torques)

    def stop(self) -> None:
        self.link.words[PhysicsWord.STOPPED] = self.physics.now_ns

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.physics.step()

    def sample(self) -> tuple[np.ndarray, float]:
        measured_ns, _, reward, *elements = self.link.samples.read(self.link.samples.count - 1)
        assert measured_ns == self.physics.now_ns == self.link.words[PhysicsWord.STEPPED]
        return np.array(elements), reward

    def speed(self) -> float:
        return float(np.abs(self.sample()[0][4:6]).max())

    def events(self) -> list[tuple[PhysicsEvent, float, int]]:
        """Kind, time in ms since the start, detail."""
        read = [self.link.events.read(number) for number in range(self.link.events.count)]
        return [(PhysicsEvent(kind), (at_ns - START_NS) / MS, detail) for kind, at_ns, detail in read]

    def kinds(self) -> list[PhysicsEvent]:
        return [kind for kind, _, _ in self.events()]

    def violations(self) -> list[Rule]:
        return [RULES[detail] for kind, _, detail in self.events() if kind is PhysicsEvent.VIOLATION]


def moving(arm: str = "dark-reacher", **more) -> Driver:
    """One that has been told 1, -1 for 40 ms."""
    driver = Driver(arm, **more)
    driver.arm()
    driver.reset()
    driver.write(1, -1)
    driver.run(20)
    assert driver.speed() > 2
    return driver


@pytest.mark.parametrize("arm", ARMS)
def test_under_the_same_torques_it_goes_where_the_lockstep_environment_goes(arm):
    lockstep = gymnasium.make(arm, hidden=3, disable_env_checker=True)
    # The lockstep one is reset as often as the physics, which is reset once before it is armed.
    lockstep.reset(seed=0)
    lockstep.reset()
    driver = Driver(arm)
    driver.arm()
    driver.reset()
    random = np.random.default_rng(1)
    for _ in range(40):  # then the elbow meets its limit, where the size of a step does matter
        action = random.uniform(-0.5, 0.5, 2).astype(np.float32)
        expected, reward, *_ = lockstep.step(action)
        driver.write(*action.tolist())
        driver.run(10)
        seen, earned = driver.sample()
        assert seen[4:6] == pytest.approx(expected[4:6], abs=1e-3)
        # gymnasium shows the fingertip as it was one step of its physics, 10 ms, before.
        assert seen[6:8] == pytest.approx(expected[6:8], abs=0.011 * max(1, driver.speed()) * 0.21 + 1e-3)
        assert earned == pytest.approx(reward, abs=0.011 * max(1, driver.speed()) * 0.42 + 1e-3)
        assert seen[8:] == pytest.approx(expected[8:])
    assert not driver.violations()


def test_the_last_action_goes_on_until_the_command_timeout_and_no_longer():
    driver = moving()
    driver.run(30)
    before = driver.speed()
    driver.run(1)
    assert driver.speed() > before  # at 102 ms the timeout of 100 ms is just reached
    driver.run(1)
    assert driver.speed() < before
    driver.run(200)
    assert driver.speed() == 0
    assert driver.kinds() == [PhysicsEvent.RESET, PhysicsEvent.COMMAND, PhysicsEvent.SILENCE, PhysicsEvent.AT_REST]


def test_after_a_silence_the_next_action_moves_it_again():
    driver = moving()
    driver.run(200)
    driver.write(1, 1)
    driver.run(5)
    assert driver.speed() > 0.5
    assert driver.violations() == ["silence"]


@pytest.mark.parametrize("arm", ARMS)
def test_a_stop_brings_it_to_rest_whatever_it_carries_and_nothing_moves_it_until_it_is_armed(arm):
    driver = moving(arm)
    driver.stop()
    driver.run(1)
    braked = driver.speed()
    driver.run(10)
    assert driver.speed() == pytest.approx(braked * np.exp(-1), rel=0.01)  # a time constant of 20 ms
    driver.run(120)
    assert driver.link.words[PhysicsWord.AT_REST] == 1
    pose = driver.sample()[0]
    driver.write(1, 1)
    driver.run(200)
    assert np.array_equal(driver.sample()[0], pose)
    assert driver.violations() == ["after stop"]
    driver.arm()
    driver.reset()
    driver.write(1, 1)
    driver.run(5)
    assert driver.speed() > 0.5
    assert driver.link.words[PhysicsWord.AT_REST] == 0


@pytest.mark.parametrize("arm", ARMS)
def test_before_the_first_action_of_an_episode_the_brakes_hold_it(arm):
    driver = Driver(arm)
    driver.arm()
    driver.reset()
    driver.run(50)  # an episode starts with a breath of speed
    pose = driver.sample()[0]
    driver.run(500)
    assert np.array_equal(driver.sample()[0], pose)
    driver.write(0, 0)
    driver.run(5)
    assert not driver.violations()  # nobody owes an action before the first


def test_an_action_of_the_episode_before_does_not_move_it():
    driver = moving()
    driver.write(1, 1)
    driver.reset()
    driver.run(5)
    assert driver.speed() < 0.01


def test_an_actuator_that_is_slow_acts_later():
    driver = Driver(delay_s=0.03)
    driver.arm()
    driver.reset()
    written = driver.now_ms
    driver.write(1, 1)
    driver.run(15)
    assert driver.speed() < 0.01
    driver.run(1)
    assert driver.speed() > 0.1
    assert driver.events()[-1][:2] == (PhysicsEvent.COMMAND, written + 30)


def test_torques_beyond_the_bounds_push_no_harder_and_are_noted():
    driver, other = moving(), moving()
    driver.write(9, -9)
    other.write(1, -1)
    driver.run(5)
    other.run(5)
    assert np.array_equal(driver.sample()[0], other.sample()[0])
    assert driver.violations() == ["out of bounds", "out of bounds"]


def test_what_the_driver_refused_moves_nothing_and_is_noted():
    driver = Driver()
    driver.write(1, 1, accepted=0)
    driver.run(50)
    assert driver.speed() == 0
    assert driver.violations() == ["before arm"]


def test_a_process_that_comes_late_makes_up_for_it_with_what_had_arrived_by_then():
    punctual, late = moving(), moving()
    for driver in (punctual, late):
        driver.run(5)
    at_ns = late.physics.now_ns
    for number, torques in enumerate([(1, 1), (-1, 0.5), (0, -1)]):  # 20 ms apart, while the late one sleeps
        written = (at_ns + number * 20 * MS, 1, 1, *torques)
        late.link.commands.append(*written)
        punctual.run(0 if number == 0 else 10)
        punctual.link.commands.append(*written)
    punctual.run(10)
    assert punctual.physics.now_ns == at_ns + 60 * MS

    class Wakes(FakeClock):
        def sleep_until_ns(self, deadline_ns: int) -> None:
            late.link.words[PhysicsWord.QUIT] = 1
            super().sleep_until_ns(at_ns + 60 * MS)

    assert keep_time(late.physics, late.link, Wakes(at_ns), []) == "asked"
    assert late.physics.now_ns == at_ns + 60 * MS
    assert np.array_equal(late.sample()[0], punctual.sample()[0])


def test_a_stop_that_comes_while_the_process_sleeps_acts_from_its_time_on():
    driver = moving()
    now_ns = driver.physics.now_ns
    driver.link.words[PhysicsWord.STOPPED] = now_ns + 10 * MS
    driver.run(5)
    before = driver.speed()
    driver.run(1)
    assert driver.speed() < before
    assert driver.events()[-1] == (PhysicsEvent.STOP, driver.now_ms - 2, now_ns + 10 * MS)


def test_actions_are_judged_by_when_they_were_written_however_late_the_process_is():
    driver = moving()
    now_ns = driver.physics.now_ns
    driver.link.words[PhysicsWord.STOPPED] = now_ns + 10 * MS
    for written_ms in (4, 14):
        driver.link.commands.append(now_ns + written_ms * MS, 1, 1, 1, -1)
    driver.run(20)
    assert driver.violations() == ["after stop"]
    assert driver.kinds().count(PhysicsEvent.COMMAND) == 2  # of `moving`, and the one before the stop


def test_the_end_of_an_episode_is_paid_also_if_the_brakes_are_on_for_a_part_of_it():
    driver = Driver("dark-camera")
    driver.arm()
    driver.reset()
    driver.run(300)  # the episode begins with its first action
    driver.write(1, -1)
    driver.run(452)  # 2 ms each; after 100 ms without an action, the brakes are on
    assert driver.sample()[1] == 0
    driver.run(10)
    assert driver.sample()[1] < 0


def test_its_samples_lie_on_an_absolute_grid():
    driver = moving()
    stamps = [driver.link.samples.read(number)[0] for number in range(driver.link.samples.count)]
    assert stamps == [START_NS + number * STEP_NS for number in range(len(stamps))]


@pytest.mark.parametrize(("orphaned", "sleeps_ms", "ends"), [(True, 600, "orphaned"), (False, 1_500, "lost")])
def test_it_outlives_its_driver_by_a_second_and_gives_up_when_it_was_held_up(orphaned, sleeps_ms, ends):
    driver = Driver()

    class Sleeps(FakeClock):
        def sleep_until_ns(self, deadline_ns: int) -> None:
            self.advance_ns(sleeps_ms * MS)

    assert keep_time(driver.physics, driver.link, Sleeps(START_NS), [START_NS] if orphaned else []) == ends
    assert driver.now_ms == (600 if orphaned else 0)
