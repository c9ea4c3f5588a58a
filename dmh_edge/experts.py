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

#: Types of input that an ONNX policy can have.
_NUMBERS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def from_onnx(path: str | Path, parameters: Parameters | None = None) -> Expert:
    """Load a policy from an ONNX file: the only input is an observation ``[N, S]``, the first output an action.

    A file for one observation at a time, as rsl_rl exports them, is called once for each observation.

    Raises:
        ConfigError: the file cannot be read, or reads something else than one observation.
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
    inputs = [(one.name, one.type, one.shape) for one in session.get_inputs()]
    name, kind, shape = inputs[0]
    fixed = bool(shape) and isinstance(shape[0], int)  # else the number of observations is free
    if len(inputs) > 1 or kind not in _NUMBERS or len(shape) != 2 or (fixed and shape[0] != 1):
        raise ConfigError(
            f"{path} reads {inputs}, expected one observation [N, S] of floating-point numbers; a recurrent policy "
            "cannot be an expert"
        )

    def act(observation: NDArray[np.float32]) -> NDArray[Any]:
        rows = np.split(observation, len(observation)) if fixed else [observation]
        acted: list[NDArray[Any]] = [session.run(None, {name: row.astype(_NUMBERS[kind])})[0] for row in rows]
        return np.concatenate(acted)

    return _expert(path, act, parameters)


def from_stable_baselines3(path: str | Path, algorithm: str = "PPO", parameters: Parameters | None = None) -> Expert:
    """Load a checkpoint of stable-baselines3, whose actions are taken without noise.

    What a ``VecNormalize`` around its training did is not in the checkpoint: scale the observations before.

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
    return _expert(path, lambda observation: model.predict(observation, deterministic=True)[0], parameters)


def from_rsl_rl(path: str | Path, parameters: Parameters | None = None) -> Expert:
    """Load a policy that rsl_rl exported as TorchScript: the ``policy.pt`` of ``export_policy_to_jit``.

    `from_onnx` loads what ``export_policy_to_onnx`` wrote.

    Raises:
        ConfigError: the file cannot be read, or its policy is recurrent.
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

    if any(name == "hidden_state" for name, _ in module.named_buffers()):
        raise ConfigError(f"{path} is a recurrent policy, expected one that acts on its present observation")

    def act(observation: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            action: NDArray[Any] = module(torch.from_numpy(observation)).numpy()
        return action

    return _expert(path, act, parameters)


def _expert(path: str | Path, policy: _Policy, parameters: Parameters | None) -> Expert:
    def expert(observation: NDArray[np.float32], hidden: NDArray[np.int64], phase: NDArray[np.int64]) -> NDArray[Any]:
        del phase
        parts = [observation] if parameters is None else [observation, parameters(hidden)]
        read = np.concatenate(parts, axis=1, dtype=np.float32)
        try:
            return policy(read)
        except Exception as error:  # each library has its own for an input that does not fit
            numbers = " + ".join(str(part.shape[1]) for part in parts)
            raise ConfigError(f"{path} cannot act on observations of {numbers} numbers: {error}") from error

    return expert


def _require(path: str | Path) -> None:
    if not Path(path).is_file():
        raise ConfigError(f"expert: {path} is not a file")
