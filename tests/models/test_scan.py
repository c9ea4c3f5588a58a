import numpy as np
import pytest
import torch

from dmh_edge.models import scan as module
from dmh_edge.models.scan import selective_scan


def tensors(batch=2, length=7, channels=3, states=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, dt, B, C = (
        torch.randn(batch, length, size, generator=generator, dtype=dtype)
        for size in (channels, channels, states, states)
    )
    A = -torch.rand(channels, states, generator=generator, dtype=dtype) - 0.1
    return [tensor.requires_grad_() for tensor in (x, torch.nn.functional.softplus(dt).detach(), A, B, C)]


def scan_by_the_equations(x, dt, A, B, C):
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t, y_t = <C_t, h_t>, one number at a time, in numpy's float64."""
    batch, length, channels = x.shape
    y = np.zeros_like(x)
    for b in range(batch):
        for d in range(channels):
            h = np.zeros(A.shape[1])
            for t in range(length):
                for n in range(len(h)):
                    h[n] = np.exp(dt[b, t, d] * A[d, n]) * h[n] + dt[b, t, d] * x[b, t, d] * B[b, t, n]
                y[b, t, d] = sum(C[b, t, n] * h[n] for n in range(len(h)))
    return y


def test_the_scan_computes_its_equations():
    inputs = tensors()
    expected = scan_by_the_equations(*(tensor.detach().numpy() for tensor in inputs))
    assert np.abs(selective_scan(*inputs).detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("length", [1, 2, 6])
def test_the_gradients_written_by_hand_are_those_of_the_equations(length):
    assert torch.autograd.gradcheck(selective_scan, tensors(length=length))


@pytest.fixture(params=[(1, 1), (2, 1), (3, 1), (3, 2), (100, 2)], ids="tiles of {0[0]} steps, {0[1]} rows".format)
def tiles(request, monkeypatch):
    """The scan cut into short tiles and few rows of the batch, which at the sizes of tests it is not."""
    steps, rows = request.param
    state = 3 * 4  # [D, N] of `tensors`
    monkeypatch.setattr(module, "STEP_NUMBERS", rows * state)
    monkeypatch.setattr(module, "TILE_NUMBERS", steps * rows * state)
    monkeypatch.setattr(module, "TILE_THREADS", 1)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("length", [1, 6, 7])
def test_wherever_it_is_cut_the_scan_and_its_gradients_are_those_of_the_equations(length):
    inputs = tensors(batch=3, length=length)
    expected = scan_by_the_equations(*(tensor.detach().numpy() for tensor in inputs))
    assert np.abs(selective_scan(*inputs).detach().numpy() - expected).max() < 1e-12
    assert torch.autograd.gradcheck(selective_scan, inputs)


def test_a_state_that_decays_to_nothing_at_once_is_no_special_case():
    x, dt, _, B, C = (tensor.detach().float() for tensor in tensors())
    dt[:, ::2] *= 1e3  # exp(-16e3) is 0 in every format
    inputs = [tensor.requires_grad_() for tensor in (x, dt, -torch.linspace(1, 16, 12).view(3, 4), B, C)]
    y = selective_scan(*inputs)
    expected = scan_by_the_equations(*(tensor.detach().double().numpy() for tensor in inputs))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), inputs))


def test_gradients_agree_with_autograd_through_the_naive_loop_in_float32():
    inputs = tensors(batch=3, length=40, channels=8, states=4, dtype=torch.float32)
    weight = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(1))

    def naive(x, dt, A, B, C):
        h, y = torch.zeros(*x[:, 0].shape, A.shape[1]), []
        for t in range(x.shape[1]):
            h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
            y.append((h * C[:, t, None]).sum(-1))
        return torch.stack(y, 1)

    ours, theirs = (torch.autograd.grad((scan(*inputs) * weight).sum(), inputs) for scan in (selective_scan, naive))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5)


def saved_for_backward(length, batch=1):
    """Bytes that the scan keeps for its backward pass, at the paper's sizes."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        selective_scan(*tensors(batch=batch, length=length, channels=256, states=16, dtype=torch.float32))
    return kept


def test_memory_grows_linearly_with_the_length_and_holds_few_of_the_states():
    short, middle, long = (saved_for_backward(length) for length in (512, 1024, 2048))
    assert long - middle == 2 * (middle - short)
    inputs, states = 2048 * (2 * 256 + 2 * 16) * 4, 2048 * 256 * 16 * 4
    assert inputs < long < inputs + states / 32


def test_many_rows_are_scanned_a_few_at_a_time_so_that_tiles_stay_long():
    inputs, states = 16 * 64 * (2 * 256 + 2 * 16) * 4, 16 * 64 * 256 * 16 * 4
    assert inputs < saved_for_backward(64, batch=16) < inputs + states / 15


@pytest.mark.parametrize(("given", "used"), [(1, 1), (2, 1), (4, 4)])
def test_few_threads_do_not_wait_for_each_other_and_are_given_back(given, used, monkeypatch):
    before, seen, run = torch.get_num_threads(), [], module._Tiles.run

    def watched(self, tile):
        seen.append(torch.get_num_threads())
        if len(seen) == 3:
            raise RuntimeError("in the middle")
        return run(self, tile)

    monkeypatch.setattr(module._Tiles, "run", watched)
    try:
        torch.set_num_threads(given)
        selective_scan(*tensors()).sum().backward()
        assert torch.get_num_threads() == given
        with pytest.raises(RuntimeError, match="in the middle"):
            selective_scan(*tensors())
        assert torch.get_num_threads() == given
    finally:
        torch.set_num_threads(before)
    assert seen == [used] * 3
