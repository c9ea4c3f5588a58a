"""ONNX to TensorRT plans. This module needs no torch; with ``tensorrt-rtx`` it needs no GPU either.

The network is strongly typed: element types are those of the ONNX file, and TensorRT does not choose lower precisions.
TF32, which TensorRT allows by default, is off.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dmh_edge.errors import ConfigError, ExportError
from dmh_edge.files import replacing, sha256, write_bytes
from dmh_edge.progress import Say, quiet
from dmh_edge.runtime.sessions import tensorrt_library
from dmh_edge.runtime.sessions.policy import NOTE_NAME, EngineNote, Policy

#: Robots in one session: smallest number, the number that TensorRT optimises for, largest number.
BATCH_PROFILE = (1, 1, 16)
#: Default GPU architectures of an ahead-of-time build: desktop Ampere, Ada and Blackwell.
DEFAULT_TARGETS = ("sm86", "sm89", "sm120")


def build_plans(policy: Policy, targets: tuple[str, ...] = (), say: Say = quiet) -> EngineNote:
    """Build an engine beside every ONNX file of a policy, and the note that describes the engines.

    The old note is removed before the first new engine is written, and the new note is written last, so that no session
    accepts the engines of an interrupted build. If a build fails, the old engines stay unchanged.

    Args:
        policy: the checked policy.
        targets: GPU architectures, e.g. ``("sm89",)``; empty for `DEFAULT_TARGETS` with TensorRT-RTX, and for the GPU
            of this machine with TensorRT.
        say: called with a sentence that says what is being built.

    Raises:
        MissingExtraError: no TensorRT is installed.
        ConfigError: a target is unknown, or a target for TensorRT is not the GPU of this machine.
        ExportError: TensorRT cannot parse or build a graph.
        ArtifactError: an engine cannot be written.
    """
    name, library = tensorrt_library.load()
    chosen = targets_here(name, library, targets)
    graphs = policy.contract.model.graphs
    note_path = policy.folder / NOTE_NAME
    with replacing(note_path) as new_note:
        new_note.touch()  # fails here, before minutes of work, if the folder cannot be written
        built = {}
        for graph in graphs:
            say(f"building {graph.engine_file} with {name} {library.__version__} for {', '.join(chosen)}")
            built[graph.engine_file] = _build(library, name, policy.folder / graph.file, chosen)
        note_path.unlink(missing_ok=True)
        for file, plan in built.items():
            write_bytes(policy.folder / file, plan)
        note = EngineNote(
            builder=name,
            builder_version=library.__version__,
            targets=chosen,
            precision=policy.contract.precision,
            batch_profile=BATCH_PROFILE,
            plans={file: sha256(policy.folder / file) for file in built},
            onnx={graph.file: policy.contract.files[graph.file] for graph in graphs},
        )
        new_note.write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return note


def targets_here(name: tensorrt_library.LibraryName, library: Any, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the GPU architectures that a build on this machine is for; see `build_plans`."""
    if name == "tensorrt":
        from dmh_edge.runtime.sessions.cuda import compute_capability

        here = compute_capability()
        if targets and targets != (here,):
            raise ConfigError(
                f"--trt-target {' '.join(targets)}: TensorRT builds only for the GPU of this machine, {here}; "
                "build on the machine that will run the plan, or install the extra trt-rtx and remove tensorrt"
            )
        return (here,)
    known = sorted(
        (f"sm{match[1]}" for entry in dir(library.ComputeCapability) if (match := re.fullmatch(r"SM(\d+)", entry))),
        key=lambda target: int(target[2:]),
    )
    for target in targets:
        if target not in known:
            raise ConfigError(
                f"--trt-target {target!r}: TensorRT-RTX {library.__version__} builds for {', '.join(known)}"
            )
    return targets or DEFAULT_TARGETS


def _build(library: Any, name: str, onnx_file: Path, targets: tuple[str, ...]) -> bytes:
    log = tensorrt_library.Log(library)
    builder = library.Builder(log.logger)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, log.logger)
    if not parser.parse_from_file(str(onnx_file)):
        faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ExportError(f"TensorRT {library.__version__} cannot parse {onnx_file}: {faults}")
    config = builder.create_builder_config()
    config.clear_flag(library.BuilderFlag.TF32)
    if hasattr(library.BuilderFlag, "STRICT_NANS"):  # a session detects faults by NaN in the outputs
        config.set_flag(library.BuilderFlag.STRICT_NANS)
    if name == "tensorrt_rtx":
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            config.set_compute_capability(getattr(library.ComputeCapability, target.upper()), index)
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shapes = [tuple(batch if size == -1 else size for size in tensor.shape) for batch in BATCH_PROFILE]
        profile.set_shape(tensor.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"TensorRT {library.__version__} cannot build {onnx_file}: {log.said()}")
    return bytes(plan)
