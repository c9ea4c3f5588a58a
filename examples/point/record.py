"""Record learning histories of the point in data/point: python record.py

A guide who knows the hidden place plays. The first episode of a history is random, the last one is the guide's own.
"""

from pathlib import Path

import gymnasium
import numpy as np
from minari.data_collector import EpisodeBuffer
from point_env import MOVES, TASK

from dmh_edge.data.minari_files import write

EPISODES = 20  # In each history.
rng = np.random.default_rng(0)
PLACES = rng.uniform(-0.9, 0.9, (100, 2))  # Hidden places to learn from.


def guide(observation, place):
    """The move that ends nearest to the place."""
    return int(np.abs(observation + MOVES - place).sum(axis=1).argmin())


def episode(env, place, noise, labels):
    """Play one episode; a share ``noise`` of its actions is random."""
    observations, advice, actions, rewards = [env.reset()[0]], [], [], []
    over = False
    while not over:
        advice.append(guide(observations[-1], place))
        actions.append(int(rng.integers(len(MOVES))) if rng.random() < noise else advice[-1])
        observation, reward, _, over, _ = env.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
    advice.append(guide(observations[-1], place))  # There is one observation more than there are actions.
    return EpisodeBuffer(
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.zeros(len(actions), bool),
        truncations=np.arange(1, len(actions) + 1) == len(actions),
        infos={"expert_action": np.array(advice)},
        options=labels,
    )


recorded = []
for hidden, place in enumerate(PLACES):
    env = gymnasium.make("Point-v0", place=place)
    for number in range(EPISODES):
        labels = {"hidden": hidden, "history": 0, "number": number}
        recorded.append(episode(env, place, 1 - number / (EPISODES - 1), labels))

write(Path("data/point"), TASK, [recorded], algorithm="a guide that knows the place, with less noise in each episode")
