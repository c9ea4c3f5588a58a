"""TensorRT plans that a robot builds for itself when it first starts a policy, and finds again at every later start.

A plan belongs to one GPU, one version of TensorRT and one set of ONNX files, so a folder in the cache is named after
all three; another policy, an upgrade or another machine gets a folder of its own. The policy's own folder is only read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dmh_edge.contract import CONTRACT_NAME
from dmh_edge.errors import ArtifactError
from dmh_edge.export.plans import build_plans, targets_here
from dmh_edge.files import replacing_folder
from dmh_edge.progress import Say
from dmh_edge.runtime.sessions import tensorrt_library
from dmh_edge.runtime.sessions.engine import locate
from dmh_edge.runtime.sessions.policy import NOTE_NAME, Policy


def cached_plan(engine: Path, cache: Path, say: Say) -> Path:
    """The plan to run in place of an engine.

    Args:
        engine: a policy's folder, or a file in it.
        cache: folder of the plans; made if need be.
        say: told what is being built, which takes minutes on a small machine.

    Returns:
        the plan of the graph that acts; what belongs to it lies beside it.

    Raises:
        MissingExtraError: no TensorRT is installed.
        ArtifactError, ContractError, ConfigError: the policy is not whole, or ``cache`` cannot be written.
        ExportError: TensorRT cannot build a graph.
    """
    policy = Policy.load(locate(engine, None)[0])
    name, library = tensorrt_library.load()
    targets = targets_here(name, library, ())
    folder = cache / f"{policy.sha256[:16]}-{name}-{library.__version__}-{'-'.join(targets)}"
    if not _is_whole(folder, policy, say):
        with replacing_folder(folder, CONTRACT_NAME) as new:
            for file in (CONTRACT_NAME, *policy.contract.files):
                shutil.copyfile(policy.folder / file, new / file)
            build_plans(Policy.load(new), targets, say)
    return folder / policy.contract.model.graphs[-1].engine_file


def _is_whole(folder: Path, policy: Policy, say: Say) -> bool:
    """Whether the plans of a policy are there, each with its hash. What was spoilt is built again."""
    if not (folder / NOTE_NAME).exists():
        return False
    try:
        cached = Policy.load(folder)
        cached.engines()
    except ArtifactError as error:
        say(f"building the plans again: {error}")
        return False
    return cached.sha256 == policy.sha256
