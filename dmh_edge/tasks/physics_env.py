"""What all environments with MuJoCo physics have in common: the hidden task, a step, what is observed. Needs MuJoCo.

As in gymnasium, `PhysicsEnv.step` advances an environment by one control period. For a robot in real time,
`PhysicsEnv.advance` advances it by one step of the physics, and `PhysicsEnv.look` returns what it then observes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from dmh_edge.errors import MissingExtraError
from dmh_edge.extras import is_installed
from dmh_edge.task import TaskSpec, bounds_of
from dmh_edge.tasks.family import ENDLESS, require_hidden

if not is_installed("mujoco"):
    raise MissingExtraError("mujoco", "mujoco", "a task with MuJoCo physics")
import mujoco
from gymnasium.envs.mujoco import MujocoEnv

#: Flag of a model in which nothing can touch anything.
NO_CONTACT = mujoco.mjtDisableBit.mjDSBL_CONTACT.value


@dataclass(frozen=True)
class State:
    """State of N simulations, in float64.

    Attributes:
        position: joint positions ``[N, nq]``.
        velocity: joint velocities ``[N, nv]``.
        time_s: simulated time since the start of the episode, ``[N]``.
        hidden: numbers of the hidden tasks ``[N]``.
    """

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    time_s: NDArray[np.float64]
    hidden: NDArray[np.int64]


class PhysicsEnv(MujocoEnv, EzPickle):
    """One simulated robot with something hidden. `PhysicsVectorEnv` steps many of them at once.

    `prepare`, `start`, `show` and `pay` say all that is special to a task. They depend on their arguments only, so that
    many rows give the same as one.

    Args:
        spec: spec of the task.
        hidden: number of the hidden task. None: it is drawn at the first reset from ``drawn_from``, and kept for the
            life of the environment, so that an agent can learn across episodes. ``info["hidden"]`` is its number.
        drawn_from: hidden tasks that no data set holds.
        model: name of a MuJoCo model that comes with gymnasium, or the text of a model in MuJoCo's XML.
        frame_skip: steps of the physics per control period.
        options: options of gymnasium's MuJoCo environments, e.g. ``render_mode``.

    Raises:
        ConfigError: there is no such hidden task.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 50,
    }

    def __init__(
        self,
        spec: TaskSpec,
        hidden: int | None,
        drawn_from: tuple[int, ...],
        model: str,
        frame_skip: int,
        **options: Any,
    ) -> None:
        if hidden is not None:
            require_hidden(spec.name, hidden, ENDLESS)
        self.task = spec
        self._hidden, self._drawn_from = hidden, drawn_from
        space = Box(*bounds_of(spec.observation, np.float32))
        self._xml = model if model.lstrip().startswith("<") else None
        path = "" if self._xml else model  # gymnasium asks for a path that exists
        super().__init__(path, frame_skip, space, **options)

    @abstractmethod
    def prepare(self, model: mujoco.MjModel, hidden: int) -> None:
        """Write what a hidden task changes into a model."""

    @abstractmethod
    def start(self, data: mujoco.MjData, rng: np.random.Generator, hidden: int) -> None:
        """Set the positions, velocities and forces with which an episode begins; ``data`` was reset before."""

    @abstractmethod
    def show(self, state: State) -> NDArray[np.float64]:
        """Return the observations ``[N, S]``."""

    @abstractmethod
    def pay(self, state: State) -> NDArray[np.float64]:
        """Return the rewards ``[N]`` of steps that ended in these states."""

    def begin(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator, hidden: int | None) -> int:
        """Begin an episode in ``model`` and ``data``, which was reset before, and return the number of the hidden task.

        Args:
            model: a model of this task.
            data: data of the model.
            rng: random generator of the environment.
            hidden: number of the hidden task; None to draw it.
        """
        drawn = int(rng.choice(self._drawn_from))  # always drawn: equal seeds leave equal random states
        hidden = drawn if hidden is None else hidden
        self.prepare(model, hidden)
        self.start(data, rng, hidden)
        return hidden

    def reset_model(self) -> NDArray[Any]:
        """Begin an episode; the hidden task stays the same."""
        self._hidden = self.begin(self.model, self.data, self.np_random, self._hidden)
        update(self.model, self.data)
        return self.look()[0]

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        """Make the physics' steps of one control period with one action."""
        self.do_simulation(action, self.frame_skip)
        observation, reward = self.look()
        if self.render_mode == "human":
            self.render()  # type: ignore[no-untyped-call]
        return observation, reward, False, False, self._get_reset_info()

    def look(self) -> tuple[NDArray[np.float32], float]:
        """Return the present observation ``[S]``, and the reward of a step that ended here."""
        data = self.data
        hidden = np.array([self._hidden], np.int64)
        state = State(data.qpos[None].copy(), data.qvel[None].copy(), np.array([data.time]), hidden)
        return self.show(state)[0].astype(np.float32), float(self.pay(state)[0])

    def advance(self, action: NDArray[np.floating]) -> None:
        """Make one step of the physics, ``model.opt.timestep`` seconds, with an action ``[A]``."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data)

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        if self._xml is None:
            return super()._initialize_simulation()
        model = mujoco.MjModel.from_xml_string(self._xml)
        return model, mujoco.MjData(model)

    def _get_reset_info(self) -> dict[str, Any]:
        return {"hidden": self._hidden}


def update(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Compute everything that follows from positions and velocities, such as the places of bodies for an image."""
    mujoco.mj_forward(model, data)
