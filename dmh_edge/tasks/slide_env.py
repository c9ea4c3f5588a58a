"""The environment of `dark_slide`: a pusher on a rail, and a puck that it strikes. Needs MuJoCo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dmh_edge.tasks import dark_slide
from dmh_edge.tasks.dark_slide import END, FARTHEST, FASTEST, FIRST, LAST, NEAREST, SPREAD, START, TEST_IDS
from dmh_edge.tasks.physics_env import PhysicsEnv, State

if TYPE_CHECKING:
    import mujoco

#: Mass of the puck, in kg; that of the pusher is 1 kg.
_PUCK_KG = 0.1
#: Force in N per m/s that the pusher is too slow. Its motor has at most 10 N.
_SERVO = 60.0
#: Positions of the model.
_PUSHER, _PUCK, _TARGET = range(3)

#: Contact is a spring without a damper of 1e5 N/m per kg: a strike is elastic and takes 10 ms, whatever its speed.
_MODEL = f"""
<mujoco model="dark-slide">
  <option timestep="0.002" gravity="0 0 0"/>
  <default>
    <joint type="slide" axis="1 0 0"/>
    <geom type="sphere" size="0.02" condim="1" solref="-1e5 0" solimp="0.99 0.99 0.001"/>
  </default>
  <worldbody>
    <camera name="above" pos="0.4 0 1.6"/>
    <light pos="0.4 0 2"/>
    <geom type="plane" size="1 0.2 0.1" pos="0.4 0 -0.03" contype="0" conaffinity="0" rgba="0.9 0.9 0.9 1"/>
    <body name="pusher">
      <joint name="pusher" range="{FIRST} {LAST}" limited="true" solreflimit="0.005 1"/>
      <geom mass="1" pos="-0.02 0 0" rgba="0 0.4 0.6 1"/>
    </body>
    <body name="puck">
      <joint range="-0.01 {END}" limited="true" frictionloss="1"/>
      <geom mass="{_PUCK_KG}" pos="0.02 0 0" rgba="0 0.8 0.6 1"/>
    </body>
    <body name="target">
      <joint/>
      <geom type="box" size="0.002 0.05 0.001" pos="0.02 0 -0.02" mass="1" contype="0" conaffinity="0"
            rgba="0.9 0.2 0.2 1"/>
    </body>
  </worldbody>
  <actuator>
    <general joint="pusher" biastype="affine" gainprm="{_SERVO * FASTEST}" biasprm="0 0 {-_SERVO}" ctrlrange="0 1"
             ctrllimited="true" forcerange="-10 10" forcelimited="true"/>
  </actuator>
</mujoco>
"""


class DarkSlideEnv(PhysicsEnv):
    """A pusher and a puck whose friction is not observed; see `PhysicsEnv` for arguments."""

    def __init__(self, hidden: int | None = None, **options: Any) -> None:
        super().__init__(dark_slide.SPEC, hidden, TEST_IDS, _MODEL, 10, **options)
        EzPickle.__init__(self, hidden, **options)

    def prepare(self, model: mujoco.MjModel, hidden: int) -> None:
        """Set the friction of the puck."""
        model.dof_frictionloss[_PUCK] = _PUCK_KG * dark_slide.deceleration(np.array([hidden]))[0]

    def start(self, data: mujoco.MjData, rng: np.random.Generator, hidden: int) -> None:  # noqa: ARG002
        """Draw the pusher's place and a new target; nothing moves."""
        data.qpos[_PUSHER] = START + rng.uniform(-SPREAD, SPREAD)
        data.qpos[_TARGET] = rng.uniform(NEAREST, FARTHEST)

    def show(self, state: State) -> NDArray[np.float64]:
        """Return places and velocities of pusher and puck, and the place of the target."""
        shown = [_PUSHER, _PUCK]
        return np.concatenate(
            [state.position[:, shown], state.velocity[:, shown], state.position[:, [_TARGET]]], axis=1
        )

    def pay(self, state: State) -> NDArray[np.float64]:
        """Return minus the distance between puck and target."""
        return -np.abs(state.position[:, _PUCK] - state.position[:, _TARGET])
