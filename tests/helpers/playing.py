"""Plays simulated tasks as a teacher says."""

from __future__ import annotations

import numpy as np

from dmh_edge.tasks.family import Task, Teacher, Transition, phase_of
from dmh_edge.tasks.teachers import Knowing


def returns(task: Task, hidden: np.ndarray, advisor: Teacher, episodes: int) -> np.ndarray:
    """Return by episode of students that do as they are told, ``[N, episodes]``."""
    many = task.vector(hidden.tolist())
    earned = np.zeros((len(hidden), episodes))
    observation, info = many.reset(seed=0)
    for episode in range(episodes):
        for _ in range(task.spec.horizon):
            before, phase = observation, phase_of(info, len(hidden))
            action = advisor.advise(before, phase)
            observation, reward, terminated, truncated, info = many.step(action)
            over = terminated | truncated
            advisor.observe(Transition(before, phase, action, np.float32(reward), observation, over))
            earned[:, episode] += reward
        observation, info = many.reset(options={"reset_mask": over})
    return earned


def expert_returns(task: Task, hidden: np.ndarray) -> np.ndarray:
    """Return of the expert in the first episode, ``[N]``."""
    return returns(task, hidden, Knowing(task, hidden), 1)[:, 0]
