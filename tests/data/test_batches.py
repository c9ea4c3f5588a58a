import dataclasses

import numpy as np
import pytest
import torch

from dmh_edge.data import batches
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.models.chunks import Chunks

CPU = torch.device("cpu")


@pytest.fixture
def arrays(darkroom_episodes):
    return ContextSampler(darkroom_episodes, chunk=5, episodes_per_context=2).draw(seed=0, update=0, batch=3)


def test_every_column_arrives_as_it_was(arrays):
    chunks = batches.tensors(arrays, CPU, torch.float32)
    found = {field.name: getattr(chunks, field.name) for field in dataclasses.fields(chunks)}
    assert found.keys() == {field.name for field in dataclasses.fields(arrays)}
    for name, tensor in found.items():
        expected = getattr(arrays, name)
        assert tensor.numpy().dtype == expected.dtype
        assert np.array_equal(tensor.numpy(), expected), name


def test_noise_is_one_standard_normal_draw_per_chunk(arrays):
    torch.manual_seed(0)
    noise = torch.cat([batches.draw_noise(arrays, 16, CPU) for _ in range(50)])
    assert noise.shape == (50 * 3, arrays.valid.shape[1], 16)
    assert len(noise.flatten(0, 1).unique(dim=0)) == noise.shape[0] * noise.shape[1]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_the_seed_of_torch_decides_the_noise(arrays):
    def noise(seed):
        torch.manual_seed(seed)
        return batches.draw_noise(arrays, 4, CPU)

    assert torch.equal(noise(1), noise(1))
    assert not torch.equal(noise(1), noise(2))


def test_numbers_take_the_type_that_is_asked_for_and_the_rest_keeps_its_own(arrays):
    plain = Chunks(**{field.name: getattr(arrays, field.name) for field in dataclasses.fields(Chunks)})
    chunks = batches.tensors(plain, CPU, torch.float64)
    assert type(chunks) is Chunks
    found = {field.name: getattr(chunks, field.name).dtype for field in dataclasses.fields(chunks)}
    assert found.pop("action") == torch.int64
    assert found.pop("valid") == found.pop("episode_start") == torch.bool
    assert set(found.values()) == {torch.float64}
