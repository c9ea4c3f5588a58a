"""Record learning histories of the cart in data/cart: python record.py

A guide who knows the hidden place drives. The first episode of a history is random, the last one is the guide's own.
"""

from pathlib import Path

import numpy as np
from cart import TASK, Cart
from minari.data_collector import EpisodeBuffer

from dmh_edge.data.minari_files import write

PLACES = np.linspace(-0.9, 0.9, 37)
TRAINED = [number for number in range(len(PLACES)) if number % 4]  # The other places are kept to try the policy on.
EPISODES = 30  # In each history.
rng = np.random.default_rng(0)


def guide(observation, place):
    """The right speed at this position."""
    return np.clip((place - observation) * TASK.rate_hz, -1, 1).astype(np.float32)


def episode(cart, place, noise, labels):
    """Drive one episode; a share ``noise`` of its actions is random."""
    cart.reset()
    observations, advice, actions, rewards = [], [], [], []
    for _ in range(TASK.horizon):
        observations.append(cart.read().observation)
        advice.append(guide(observations[-1], place))
        wished = rng.uniform(-1, 1, 1).astype(np.float32) if rng.random() < noise else advice[-1]
        actions.append(cart.write(wished))
        rewards.append(cart.read().reward)
    observations.append(cart.read().observation)  # One more than there are actions: the result of the last action.
    advice.append(guide(observations[-1], place))
    return EpisodeBuffer(
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.zeros(TASK.horizon, bool),
        truncations=np.arange(1, TASK.horizon + 1) == TASK.horizon,
        infos={"expert_action": np.array(advice)},
        options=labels,
    )


recorded = []
for hidden in TRAINED:
    cart = Cart(PLACES[hidden])
    cart.connect()
    cart.arm()
    try:
        for number in range(EPISODES):
            noise = 1 - number / (EPISODES - 1)
            labels = {"hidden": hidden, "history": 0, "number": number}
            recorded.append(episode(cart, PLACES[hidden], noise, labels))
    finally:  # Whatever happens, the cart stands still at the end.
        cart.stop()
        cart.close()

write(Path("data/cart"), TASK, [recorded], algorithm="a guide that knows the place, with less noise in each episode")
