"""Export: checkpoint -> step graphs -> ONNX -> golden trace -> TensorRT plans -> parity, as one folder or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dmh_edge.checkpoint import Checkpoint
from dmh_edge.contract import CONTRACT_NAME, GOLDEN_TRACE_NAME, PolicyContract, Precision, Provenance
from dmh_edge.errors import ArtifactError, BackendError, ContractError, MissingExtraError
from dmh_edge.export.golden import golden_trace
from dmh_edge.export.onnx_files import write_onnx
from dmh_edge.export.parity import check_backend, check_step
from dmh_edge.export.plans import build_plans
from dmh_edge.export.precision import with_products_in
from dmh_edge.files import replacing_folder, sha256
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.progress import Progress, Say, quiet, silent
from dmh_edge.runtime.sessions.ort import OrtSession
from dmh_edge.runtime.sessions.policy import Policy
from dmh_edge.runtime.sessions.replay import coarseness, replay
from dmh_edge.runtime.sessions.tensorrt import TensorRTSession, fitting_library
from dmh_edge.version import __version__

#: Ticks of the shortest rollout that an export must pass; a model can need more, to reach every edge case of its state.
GATE_TICKS = 200


def export_policy(
    run: Path,
    out: Path,
    precision: Precision = "float32",
    trt: bool = False,
    targets: tuple[str, ...] = (),
    say: Say = quiet,
    progress: Progress = silent,
) -> Policy:
    """Export a checkpoint to a folder, which appears only when every check has passed.

    Args:
        run: folder of a run, or a checkpoint file.
        out: folder of the policy; an older policy there is replaced as a whole.
        precision: element type of the matrix products.
        trt: whether to build TensorRT plans too.
        targets: GPU architectures for the plans; see `build_plans`.
        say: called with a sentence that says what is being done.
        progress: called with the progress of each parity rollout.

    Raises:
        ArtifactError: the checkpoint is missing or altered, or the folder cannot be written.
        ExportError: a graph cannot be exported or built.
        ParityError: an exported graph does not compute the same as the model.
    """
    checkpoint = Checkpoint.load(run)
    model = checkpoint.build()
    with replacing_folder(out, marker=CONTRACT_NAME) as folder:
        policy = _write(folder, model, draft_contract(checkpoint, run, out.name, precision), say)
        if trt:
            build_plans(policy, targets, say)
        prove(policy, model, max(GATE_TICKS, model.rollout.ticks), say, progress).save(folder)
    return Policy.load(out)


def export_unproved(checkpoint: Checkpoint, folder: Path, name: str) -> Policy:
    """Export only the graphs, without any check: for studies and speed measurements, never for a real robot.

    Args:
        checkpoint: checkpoint of the policy.
        folder: existing folder for the ONNX files; no contract, golden trace or hash is written.
        name: name of the policy.
    """
    contract = draft_contract(checkpoint, folder, name)
    _write_graphs(folder, checkpoint.build(), contract, quiet)
    return Policy(folder, contract, sha256="")


def prove(
    policy: Policy, model: PolicyModel, ticks: int, say: Say = quiet, progress: Progress = silent
) -> PolicyContract:
    """Check parity of every link that this machine can run: model, step form, ONNX Runtime, golden trace, TensorRT.

    Args:
        policy: the exported policy.
        model: model that the policy was exported from.
        ticks: length of each rollout.
        say: called with a sentence that says what is compared, or what is skipped and why.
        progress: called with the progress of each rollout.

    Returns:
        the policy's contract, with the measured parity figures and rounding errors.

    Raises:
        ParityError: a link is above its tolerance; the message names the first tick and tensor.
    """
    say("parity: forward = step, step by PyTorch = ONNX Runtime")
    figures, rounding = check_step(model, policy.contract, ticks, progress=progress)
    contract = policy.contract.model_copy(update={"rounding": rounding})
    if coarse := coarseness(contract):
        say(coarse)
    policy = replace(policy, contract=contract)
    figures += check_backend(model, contract, lambda b: OrtSession(policy, b), ticks, progress=progress)
    figures.append(replay(policy.golden_trace(), OrtSession(policy)).require())
    if policy.has_engines:
        try:
            fitting_library(policy.engines())
        except (BackendError, MissingExtraError) as error:
            say(f"parity of plans skipped: {error}")
        else:
            figures += check_backend(model, contract, lambda b: TensorRTSession(policy, b), ticks, progress=progress)
    else:
        say("parity of plans skipped: there are none")
    return contract.model_copy(update={"parity": tuple(figures)})


def reference_model(policy: Policy, run: Path | None) -> PolicyModel:
    """Return the model that a policy was exported from.

    Args:
        policy: the exported policy.
        run: path of the run or its checkpoint; None for the path at the time of the export.

    Raises:
        ArtifactError: there is no checkpoint.
        ContractError: the checkpoint holds other weights than the policy.
    """
    path = run or Path(policy.contract.provenance.checkpoint)
    if not path.exists():
        raise ArtifactError(f"{path} does not exist: name with --run the run that {policy.folder} was exported from")
    checkpoint = Checkpoint.load(path)
    if checkpoint.weights_sha256 != policy.contract.provenance.weights_sha256:
        raise ContractError(
            f"{path} holds other weights than {policy.folder} was exported from; "
            "export it again, or name the right run with --run"
        )
    return checkpoint.build()


def draft_contract(checkpoint: Checkpoint, run: Path, name: str, precision: Precision = "float32") -> PolicyContract:
    """Return the contract that a checkpoint would be exported with, before there are any files.

    Args:
        checkpoint: checkpoint of the policy.
        run: path of the run or checkpoint, stored in the contract.
        name: name of the policy.
        precision: element type of the matrix products and of cached keys and values.
    """
    header = checkpoint.header
    return PolicyContract(
        name=name,
        precision=precision,
        task=header.task,
        model=checkpoint.build().model_spec(precision),
        files={},
        provenance=Provenance(
            code_version=__version__,
            config=header.config.model_dump(mode="json"),
            checkpoint=str(run),
            weights_sha256=checkpoint.weights_sha256,
            data_sha256=header.data_sha256,
            training_steps=header.step,
        ),
    )


def _write(folder: Path, model: PolicyModel, contract: PolicyContract, say: Say) -> Policy:
    """Write all files but ``model.json``, which is written last, after the checks; without it a folder is no policy."""
    files = _write_graphs(folder, with_products_in(contract.precision, model), contract, say)
    say(f"recording {GOLDEN_TRACE_NAME}")
    golden_trace(model, contract).save(folder / GOLDEN_TRACE_NAME)
    files.append(GOLDEN_TRACE_NAME)
    complete = contract.model_copy(update={"files": {file: sha256(folder / file) for file in files}})
    return Policy(folder, complete, sha256="")


def _write_graphs(folder: Path, model: PolicyModel, contract: PolicyContract, say: Say) -> list[str]:
    """Write one ONNX file per graph of the policy, and return the file names."""
    metadata = {"dmh_edge.format_version": str(contract.format_version), "dmh_edge.policy": contract.name}
    for graph in contract.model.graphs:
        say(f"exporting {graph.file}")
        write_onnx(model, contract.model, graph, folder / graph.file, metadata)
    return [graph.file for graph in contract.model.graphs]
