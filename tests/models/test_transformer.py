import math

import numpy as np
import pytest
import torch

from dmh_edge.models.transformer import Transformer, penalty

LAYERS, WIDTH, HEADS, SLOTS = 2, 8, 2, 12


@pytest.fixture
def transformer():
    """In float64, with every norm and bias away from its first value."""
    torch.manual_seed(0)
    made = Transformer(LAYERS, WIDTH, HEADS, dropout=0.5).double().eval()
    for parameter in made.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    return made


def tokens(batch=3, length=SLOTS):
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def empty_caches(batch=3):
    return [torch.zeros(LAYERS, batch, HEADS, SLOTS, WIDTH // HEADS).double() for _ in range(2)]


def step(transformer, group, first, key, value, older=None):
    """The tokens ``group [B, G, d]`` to the slots from ``first`` on; they see what lies before."""
    batch, count, _ = group.shape
    older = (torch.arange(SLOTS) < first).expand(batch, count, SLOTS) if older is None else older
    newer = torch.ones(count, count).tril().bool().expand(batch, -1, -1)
    slots = (first + torch.arange(count)).expand(batch, -1)
    return transformer.step(group, penalty(torch.cat([older, newer], -1)), slots, key, value)


def transformer_by_the_definition(transformer, x):
    """Pre-norm blocks with causal attention, head by head, in numpy."""
    p = {name: parameter.detach().numpy() for name, parameter in transformer.named_parameters()}

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(name, x):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    size = WIDTH // HEADS
    for layer in range(LAYERS):
        q, k, v = np.split(linear(f"blocks.{layer}.qkv", norm(f"blocks.{layer}.attention_norm", x)), 3, -1)
        attended = np.zeros_like(x)
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            for t in range(len(x)):
                score = np.exp(k[: t + 1, own] @ q[t, own] / math.sqrt(size))
                attended[t, own] = score / score.sum() @ v[: t + 1, own]
        x = x + linear(f"blocks.{layer}.attention_out", attended)
        hidden = np.maximum(0, linear(f"blocks.{layer}.mlp.0", norm(f"blocks.{layer}.mlp_norm", x)))
        x = x + linear(f"blocks.{layer}.mlp.2", hidden)
    return norm("final_norm", x)


def test_forward_is_a_causal_transformer(transformer):
    x = tokens()
    for row, output in zip(x, transformer(x), strict=True):
        assert np.abs(output.detach().numpy() - transformer_by_the_definition(transformer, row.numpy())).max() < 1e-12


def test_what_comes_later_changes_nothing_before_it(transformer):
    x = tokens()
    changed = x.clone()
    changed[:, 7:] += 100
    assert torch.equal(transformer(x)[:, :7], transformer(changed)[:, :7])
    assert not torch.equal(transformer(x)[:, 7:], transformer(changed)[:, 7:])


def test_the_last_layer_may_answer_at_some_tokens_alone(transformer):
    x = tokens()
    torch.testing.assert_close(transformer(x, slice(1, None, 4)), transformer(x)[:, 1::4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_steps_with_a_cache_are_forward_at_every_position(transformer, size):
    x, (key, value) = tokens(), empty_caches()
    expected = transformer(x)
    for first in range(0, SLOTS, size):
        output, key, value = step(transformer, x[:, first : first + size], first, key, value)
        assert (output - expected[:, first + size - 1]).abs().max() < 1e-12


def test_rows_may_be_at_different_places(transformer):
    x, (key, value) = tokens(batch=2), empty_caches(batch=2)
    _, key, value = step(transformer, x[:, :5], 0, key, value)
    first = torch.tensor([[5], [3]])  # the second row goes back and writes slots 3 and 4 anew
    older = (torch.arange(SLOTS) < first).unsqueeze(1).expand(2, 2, SLOTS)
    newer = torch.ones(2, 2).tril().bool().expand(2, -1, -1)
    group = torch.stack([x[0, 5:7], x[1, 7:9]])
    output, *_ = transformer.step(group, penalty(torch.cat([older, newer], -1)), first + torch.arange(2), key, value)
    again = torch.cat([x[1:, :3], x[1:, 7:9]], 1)
    assert (output[0] - transformer(x[:1])[0, 6]).abs().max() < 1e-12
    assert (output[1] - transformer(again)[0, 4]).abs().max() < 1e-12


def test_garbage_in_slots_that_nobody_reads_changes_nothing(transformer):
    x, (key, value) = tokens(), empty_caches()
    _, key, value = step(transformer, x[:, :4], 0, key, value)
    spoiled = [cache.clone() for cache in (key, value)]
    for cache in spoiled:
        cache[..., 4:, :] = 1e6
    clean, dirty = (step(transformer, x[:, 4:6], 4, *caches) for caches in ((key, value), spoiled))
    assert torch.equal(clean[0], dirty[0])
    for written, kept in zip(clean[1:], dirty[1:], strict=True):
        assert torch.equal(written[..., :6, :], kept[..., :6, :])


def test_a_step_writes_its_own_slots_alone_and_leaves_the_old_cache_as_it_was(transformer):
    x, caches = tokens(), [torch.randn_like(cache) for cache in empty_caches()]
    before = [cache.clone() for cache in caches]
    _, *after = step(transformer, x[:, :2], 6, *caches)
    for old, same, new in zip(before, caches, after, strict=True):
        assert torch.equal(old, same)
        assert torch.equal(old[..., :6, :], new[..., :6, :])
        assert torch.equal(old[..., 8:, :], new[..., 8:, :])
        assert not torch.isclose(old[..., 6:8, :], new[..., 6:8, :]).any()


def test_a_float16_cache_stays_one_and_answers_nearly_alike(transformer):
    transformer, x = transformer.float(), tokens().float()
    outputs = []
    for dtype in (torch.float32, torch.float16):
        key, value = (cache.to(dtype) for cache in empty_caches())
        for block in transformer.blocks:
            block.product_dtype = dtype
        for first in range(0, SLOTS, 4):
            output, key, value = step(transformer, x[:, first : first + 4], first, key, value)
        assert (key.dtype, value.dtype, output.dtype) == (dtype, dtype, torch.float32)
        outputs.append(output)
    assert 0 < (outputs[0] - outputs[1]).abs().max() < 0.02


def test_dropout_acts_in_training_alone(transformer):
    x = tokens()
    assert torch.equal(transformer(x), transformer(x))
    transformer.train()
    assert not torch.equal(transformer(x), transformer(x))


def test_a_mask_decides_what_a_whole_sequence_sees(transformer):
    x = tokens(batch=2)
    causal = torch.ones(SLOTS, SLOTS).tril().bool()
    torch.testing.assert_close(transformer(x, visible=causal), transformer(x))
    halves = causal & ~(torch.arange(SLOTS)[:, None] >= 6).logical_and(
        torch.arange(SLOTS) < 6
    )  # the second sees no first
    expected = torch.cat([transformer(x[:, :6]), transformer(x[:, 6:])], 1)
    torch.testing.assert_close(transformer(x, visible=halves), expected)
    by_row = torch.stack([causal, halves]).unsqueeze(1)
    torch.testing.assert_close(transformer(x, slice(1, None, 4), by_row)[1], expected[1, 1::4])


def test_rotated_tokens_see_how_far_apart_they_are_and_not_where(transformer):
    def rotation(first):
        angle = (first + torch.arange(SLOTS).double())[:, None] * torch.tensor([0.3, 0.05]).double()
        return angle.cos()[None, None], angle.sin()[None, None]

    x = tokens()
    here, there = (transformer(x, rotation=rotation(first)) for first in (0, 1000))
    torch.testing.assert_close(here, there)
    assert not torch.isclose(here, transformer(x)).all()


def test_step_rotates_as_forward_does(transformer):
    angle = torch.arange(SLOTS).double()[:, None] * torch.tensor([0.3, 0.05]).double()
    cosine, sine = angle.cos()[None, None], angle.sin()[None, None]
    x, (key, value) = tokens(), empty_caches()
    expected = transformer(x, rotation=(cosine, sine))
    for first in range(0, SLOTS, 4):
        group = slice(first, first + 4)
        older = (torch.arange(SLOTS) < first).expand(3, 4, SLOTS)
        newer = torch.ones(4, 4).tril().bool().expand(3, -1, -1)
        visible, slots = torch.cat([older, newer], -1), (first + torch.arange(4)).expand(3, -1)
        turned = cosine[:, :, group], sine[:, :, group]
        read, key, value = transformer.step(x[:, group], penalty(visible), slots, key, value, turned)
        torch.testing.assert_close(read, expected[:, first + 3])
