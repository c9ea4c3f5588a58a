"""Experts that were trained elsewhere."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
import stable_baselines3
import torch

from dmh_edge.errors import ConfigError
from dmh_edge.experts import from_onnx, from_rsl_rl, from_stable_baselines3

OBSERVATION = np.float32([[1, 2], [3, 4], [5, 6]])
HIDDEN = np.array([7, 8, 9])
PHASE = np.zeros(3, np.int64)
EXTENDED = [[3.7, 0.7], [7.8, 0.8], [11.9, 0.9]]


class Actor(torch.nn.Module):
    """Acts with the sum of what it reads, and with its last number."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.stack([observation.sum(1), observation[:, -1]], 1)


def parameters(hidden):
    return hidden[:, None] / 10


@pytest.mark.parametrize(("read", "expected"), [(None, [[3, 2], [7, 4], [11, 6]]), (parameters, EXTENDED)])
def test_an_onnx_file_acts_on_observations_and_on_what_is_hidden_if_it_reads_that(read, expected, tmp_path):
    path = tmp_path / "actor.onnx"
    actor = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18]>
        actor (float[batch, size] observation) => (float[batch, 2] action)
        <int64[1] across = {1}, int64[1] last = {-1}> {
            sum = ReduceSum(observation, across)
            end = Gather<axis = 1>(observation, last)
            action = Concat<axis = 1>(sum, end)
        }
    """)
    onnx.save(actor, path)
    np.testing.assert_allclose(from_onnx(path, read)(OBSERVATION, HIDDEN, PHASE), expected, rtol=1e-6)


def actor_of(inputs: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        actor ({inputs}) => (float[batch, 2] action) {{ action = Cast<to = 1>(observation) }}
    """)


def test_an_onnx_file_for_one_observation_at_a_time_is_called_for_each(tmp_path):
    onnx.save(actor_of("float[1, 2] observation"), tmp_path / "one.onnx")
    np.testing.assert_array_equal(from_onnx(tmp_path / "one.onnx")(OBSERVATION, HIDDEN, PHASE), OBSERVATION)


@pytest.mark.parametrize(
    "inputs",
    [
        "float[1, 2] observation, float[1, 8] h_in",
        "float[4, 2] observation",
        "int64[n, 2] observation",
        "float[n] observation",
    ],
    ids=["recurrent", "four at a time", "whole numbers", "one axis"],
)
def test_an_onnx_file_that_reads_something_else_is_refused_at_once(inputs, tmp_path):
    onnx.save(actor_of(inputs), tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match=r"other.onnx reads .*, expected one observation \[N, S\]"):
        from_onnx(tmp_path / "other.onnx")


def test_observations_that_a_policy_does_not_read_are_an_error_with_their_size(tmp_path):
    onnx.save(actor_of("float[batch, 2] observation"), tmp_path / "two.onnx")
    with pytest.raises(ConfigError, match=r"two.onnx cannot act on observations of 2 \+ 1 numbers"):
        from_onnx(tmp_path / "two.onnx", parameters)(OBSERVATION, HIDDEN, PHASE)


class Recurrent(Actor):
    """Has the buffer by which rsl_rl's recurrent policies remember."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden_state", torch.zeros(1, 1, 4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rsl_rl exports with TorchScript
def test_a_recurrent_policy_of_rsl_rl_is_refused(tmp_path):
    torch.jit.script(Recurrent()).save(str(tmp_path / "policy.pt"))
    with pytest.raises(ConfigError, match=r"policy.pt is a recurrent policy"):
        from_rsl_rl(tmp_path / "policy.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rsl_rl exports with TorchScript
def test_a_policy_that_rsl_rl_exported_acts_on_observations(tmp_path):
    path = tmp_path / "policy.pt"
    torch.jit.script(Actor()).save(str(path))
    np.testing.assert_allclose(from_rsl_rl(path)(OBSERVATION, HIDDEN, PHASE), [[3, 2], [7, 4], [11, 6]])


@pytest.mark.parametrize("load", [from_onnx, from_rsl_rl])
def test_a_file_that_is_none_or_holds_something_else_is_refused_by_its_name(load, tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.bin is not a file"):
        load(tmp_path / "missing.bin")
    (tmp_path / "other.bin").write_bytes(b"something else")
    with pytest.raises(ConfigError, match=r"other\.bin cannot be read"):
        load(tmp_path / "other.bin")


def test_a_checkpoint_of_stable_baselines3_acts_without_noise(tmp_path):
    model = stable_baselines3.PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8, device="cpu", seed=0)
    model.save(tmp_path / "ppo.zip")
    observation = np.float32([[1, 0, 0.5], [0, 1, -0.5]])
    action = from_stable_baselines3(tmp_path / "ppo.zip", "PPO")(observation, HIDDEN[:2], PHASE[:2])
    np.testing.assert_allclose(action, model.predict(observation, deterministic=True)[0])
    with pytest.raises(ConfigError, match="no algorithm 'PPP'"):
        from_stable_baselines3(tmp_path / "ppo.zip", "PPP")


def test_without_stable_baselines3_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ConfigError, match="pip install stable-baselines3"):
        from_stable_baselines3(tmp_path / "ppo.zip")
