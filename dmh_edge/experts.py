"""Experts that were trained elsewhere: ONNX files, checkpoints of stable-baselines3, and policies of rsl_rl.

Each loader returns a function for `gymnasium_task`. The trained policy reads the observation and, if ``parameters`` is
given, what is hidden behind it: ``parameters(hidden [N]) -> [N, P]`` is appended to each observation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmh_edge.errors import ConfigError, MissingExtraError
from dmh_edge.tasks.family import Expert

Parameters = Callable[[NDArray[np.int64]], NDArray[np.floating]]
_Policy = Callable[[NDArray[np.float32]], NDArray[Any]]


def from_onnx(path: str | Path, parameters: Parameters | None = None) -> Expert:
    """Load a policy from an ONNX file: the first input is an observation ``[N, S]``, the first output an action.

    Raises:
        ConfigError: the file cannot be read.
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime as runtime
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "ort", "an expert from an ONNX file") from error
    _require(path)
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ConfigError(f"{path} cannot be read by ONNX Runtime: {error}") from error
    name = session.get_inputs()[0].name
    return _expert(lambda observation: session.run(None, {name: observation})[0], parameters)


def from_stable_baselines3(path: str | Path, algorithm: str = "PPO", parameters: Parameters | None = None) -> Expert:
    """Load a checkpoint of stable-baselines3, whose actions are taken without noise.

    Args:
        path: the zip file that ``model.save`` wrote.
        algorithm: name of its class, e.g. ``PPO``, ``SAC`` or ``TD3``.
        parameters: what is hidden, if the policy reads it.

    Raises:
        ConfigError: the file cannot be read, there is no such algorithm, or stable-baselines3 is not installed.
    """
    try:
        import stable_baselines3 as library
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path}: stable_baselines3 is not installed: pip install stable-baselines3") from error
    _require(path)
    if not hasattr(library, algorithm):
        raise ConfigError(f"stable_baselines3 has no algorithm {algorithm!r}; name one such as PPO, SAC or TD3")
    try:
        model = getattr(library, algorithm).load(str(path), device="cpu")
    except Exception as error:  # whatever reading a foreign file raises
        raise ConfigError(f"{path} cannot be read as a checkpoint of {algorithm}: {error}") from error
    return _expert(lambda observation: model.predict(observation, deterministic=True)[0], parameters)


def from_rsl_rl(path: str | Path, parameters: Parameters | None = None) -> Expert:
    """Load a policy that rsl_rl exported as TorchScript, ``exported/policy.pt``; `from_onnx` loads its ONNX files.

    Raises:
        ConfigError: the file cannot be read.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "train", "an expert from rsl_rl") from error
    _require(path)
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever reading a foreign file raises
        raise ConfigError(
            f"{path} cannot be read as TorchScript: {error}; export the policy with rsl_rl first"
        ) from error

    def act(observation: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            action: NDArray[Any] = module(torch.from_numpy(observation)).numpy()
        return action

    return _expert(act, parameters)


def _expert(policy: _Policy, parameters: Parameters | None) -> Expert:
    def expert(observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]) -> NDArray[Any]:
        del phase
        read = [observation] if parameters is None else [observation, parameters(hidden)]
        return policy(np.concatenate(read, axis=1, dtype=np.float32))

    return expert


def _require(path: str | Path) -> None:
    if not Path(path).is_file():
        raise ConfigError(f"expert: {path} is not a file")
