import json
import os
import random
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from dmh_edge import presets
from dmh_edge.checkpoint import CHECKPOINT_NAME, Checkpoint, Header
from dmh_edge.errors import ArtifactError, ConfigError, ContractError
from dmh_edge.files import TEMPORARY_PREFIX
from dmh_edge.models.dmh import DMH
from dmh_edge.tasks import darkroom


@pytest.fixture
def checkpoint():
    run = presets.load("darkroom", settings=["model.width=8", "model.memory_layers=1", "model.actor_layers=1"])
    torch.manual_seed(0)
    model = DMH(run.model, darkroom.SPEC)
    moments = {"memory.head.bias.exp_avg": torch.randn(3), "memory.head.bias.step": torch.tensor(5.0)}
    header = Header(step=5, config=run, task=darkroom.SPEC, data_sha256="d" * 64)
    return Checkpoint(header, model.state_dict(), moments, {"cpu": torch.get_rng_state()})


@pytest.fixture
def path(checkpoint, tmp_path):
    checkpoint.save(tmp_path / CHECKPOINT_NAME)
    return tmp_path / CHECKPOINT_NAME


def rewritten(path, change):
    """The file with its metadata changed in place, tensors as they were."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


def test_a_checkpoint_comes_back_as_it_was_from_its_file_or_its_folder(checkpoint, path):
    for place in (path, path.parent):
        loaded = Checkpoint.load(place)
        assert loaded.header == checkpoint.header
        for group in ("model", "optimizer", "random"):
            before, after = getattr(checkpoint, group), getattr(loaded, group)
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)
        assert loaded.weights_sha256 == checkpoint.weights_sha256


def test_a_bc_that_was_saved_with_a_reward_scale_is_read_without_it(tmp_path):
    run = presets.load("darkroom", "bc")
    told = json.loads(Header(step=1, config=run, task=darkroom.SPEC, data_sha256="").model_dump_json())
    told["config"]["model"]["reward_scale"] = 2.0
    assert Header.model_validate_json(json.dumps(told)).config == run
    file = tmp_path / "config.json"
    file.write_text(json.dumps(told["config"]))
    assert presets.load("darkroom", config_file=file) == run
    with pytest.raises(ConfigError, match=r"model\.reward_scale: unknown field"):
        presets.load("darkroom", "bc", settings=["model.reward_scale=2"])


def test_the_policy_is_built_with_its_weights_and_ready_for_use(checkpoint, path):
    model = Checkpoint.load(path).build()
    assert not model.training
    assert all(torch.equal(value, checkpoint.model[name]) for name, value in model.state_dict().items())


def test_the_digest_of_weights_tells_policies_apart(checkpoint):
    name = "memory.head.weight"
    other = dict(checkpoint.model) | {name: checkpoint.model[name] + 1e-6}
    changed = Checkpoint(checkpoint.header, other, checkpoint.optimizer, checkpoint.random)
    later = Checkpoint(checkpoint.header, checkpoint.model, {}, {})
    assert changed.weights_sha256 != checkpoint.weights_sha256 == later.weights_sha256


def test_a_missing_checkpoint_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match=r"no checkpoint at .*dmh-edge train"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ArtifactError, match="truncated"):
        Checkpoint.load(path)


def test_an_altered_number_is_refused(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="was altered: its digest differs"):
        Checkpoint.load(path)


def test_a_bit_that_flipped_anywhere_is_refused(path):
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    chance = random.Random(0)
    bits = [*range(64), *chance.sample(range(64, 64 + 8 * size), 300)]  # length and header, then the tensors
    bits += chance.sample(range(64 + 8 * size, 8 * len(content)), 60)
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ArtifactError):
            Checkpoint.load(path)
    path.write_bytes(content)
    Checkpoint.load(path)


def test_an_altered_header_is_refused(path):
    def change(metadata):
        metadata["header"] = metadata["header"].replace('"step":5', '"step":6')

    rewritten(path, change)
    with pytest.raises(ArtifactError, match="was altered: its digest differs"):
        Checkpoint.load(path)


def test_a_future_version_is_refused_by_its_number(path):
    def change(metadata):
        metadata["header"] = metadata["header"].replace('"format_version":1', '"format_version":2')

    rewritten(path, change)
    with pytest.raises(ContractError, match="format version 2, but this dmh-edge reads version 1"):
        Checkpoint.load(path)


def test_an_unknown_field_is_refused_by_its_name(path):
    def change(metadata):
        metadata["header"] = metadata["header"].replace('"step":5', '"stepp":5')

    rewritten(path, change)
    with pytest.raises(ContractError, match="did you mean 'step'"):
        Checkpoint.load(path)


def test_safetensors_of_someone_else_are_refused(path):
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match="not a checkpoint of dmh-edge"):
        Checkpoint.load(path)


def test_a_pickle_is_never_opened(path):
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match="is not a checkpoint"):
        Checkpoint.load(path)


def test_weights_that_do_not_fit_are_refused(checkpoint):
    missing = {name: value for name, value in checkpoint.model.items() if name != "memory.head.weight"}
    with pytest.raises(ContractError, match=r"do not fit the model: .*memory\.head\.weight"):
        Checkpoint(checkpoint.header, missing, {}, {}).build()


def test_another_task_is_refused_and_so_is_one_that_changed(checkpoint):
    checkpoint.require_task(darkroom.SPEC)
    with pytest.raises(ContractError, match="trained on task 'darkroom', but 'elsewhere'"):
        checkpoint.require_task(darkroom.SPEC.model_copy(update={"name": "elsewhere"}))
    with pytest.raises(ContractError, match=r"rate_hz: 50\.0, now 100\.0"):
        checkpoint.require_task(darkroom.SPEC.model_copy(update={"rate_hz": 100.0}))


def test_a_full_disk_leaves_the_old_checkpoint(checkpoint, path):
    before = path.read_bytes()
    (path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match="the disk is full"):
        checkpoint.save(path)
    assert path.read_bytes() == before


def test_the_file_is_plain_safetensors_with_parameters_by_name(path):
    assert {"model.memory.head.weight", "optimizer.memory.head.bias.exp_avg", "random.cpu"} <= load_file(path).keys()
