"""The golden trace: the reference's outputs for random inputs, which every backend must reproduce."""

from __future__ import annotations

import numpy as np

from dmh_edge.contract import PolicyContract
from dmh_edge.export.rollout import random_world
from dmh_edge.export.torch_session import TorchSession
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.runtime.sessions.replay import SELF_TEST_TICKS
from dmh_edge.runtime.sessions.schedule import TICKS
from dmh_edge.trace import Trace

#: One robot, as in the session that replays the trace before arming.
_BATCH = 1


def golden_trace(model: PolicyModel, contract: PolicyContract) -> Trace:
    """Record twice as many ticks as the self-test replays, computed by PyTorch in float32.

    Args:
        model: the model in float32.
        contract: contract with the model's tensors.
    """
    ticks = 2 * SELF_TEST_TICKS
    world = random_world(contract.task, contract.model, model.rollout.longest_episode, ticks, _BATCH)
    session = TorchSession(model, contract, _BATCH)
    initial = {spec.name: spec.zeros(_BATCH) for spec in contract.model.state} | {TICKS: session.state()[TICKS]}
    outputs = []
    for tick in range(ticks):
        outputs.append(session.step({name: column[tick] for name, column in world.items()}))
        session.commit()
    stacked = {name: np.stack([tick[name] for tick in outputs]) for name in outputs[0]}
    return Trace(contract.provenance.weights_sha256, world, stacked, initial, session.state())
