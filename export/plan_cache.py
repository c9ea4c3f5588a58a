"""A cache of TensorRT plans: a robot builds them when it first starts a policy, and uses them at every later start.

A plan belongs to one GPU, one version of TensorRT and one set of ONNX files, so a folder in the cache is named after
all three; another policy, another version or another machine uses another folder. The policy's own folder is only read.
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
    """Return the plan to run in place of an engine; build it if the cache does not have it.

    Args:
        engine: folder of a policy, or a file in it.
        cache: folder of the plans; made if it does not exist.
        say: called with a sentence that says what is being built. Building takes minutes on a small machine.

    Returns:
        the plan of the graph that computes the action; the files that belong to it are in the same folder.

    Raises:
        MissingExtraError: no TensorRT is installed.
        ArtifactError, ContractError, ConfigError: the policy is incomplete or altered, or ``cache`` cannot be written.
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
    """Return whether the plans of a policy exist and match their hashes. If a file was damaged, say so."""
    if not (folder / NOTE_NAME).exists():
        return False
    try:
        cached = Policy.load(folder)
        cached.engines()
    except ArtifactError as error:
        say(f"building the plans again: {error}")
        return False
    return cached.sha256 == policy.sha256
